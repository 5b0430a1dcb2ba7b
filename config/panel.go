package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Panel says which table of an existing panel is kept in agreement.
type Panel struct {
	Store  Store  // where it is; HistoryDays does not count
	Table  string // table, or schema.table; "": there is no panel
	User   string // the columns
	Status string
	Message,
	Changed string // "": there is none
	Clock   string // what Changed holds: timestamp, unix or unix_millis
	By      string // what User holds: id, email or extension
	Values  map[presence.TypeID]string
	In, Out bool // who follows whom
	Poll    time.Duration
	Notify  string // the channel of PostgreSQL on which the panel tells of changes; "": none
}

const (
	defaultPoll = 5 * time.Second
	maxColumn   = 63 // of PostgreSQL; others take more
)

var (
	columnName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$-]{0,62}$`)
	channelName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// readPanel reads the block panel; where it is missing there is none.
func readPanel(v value, p paths) Panel {
	if v.missing() {
		return Panel{}
	}
	o := v.object("driver", "dsn", "password", "password_file", "tls", "insecure", "table", "columns", "clock", "by", "values", "direction", "poll", "notify")
	columns := o.at("columns").object("user", "status", "message", "changed")
	if o.at("columns").missing() {
		o.at("columns").fault("nothing says which columns of the table are read and written", "write user and status at least, as the sample does")
	}
	panel := Panel{
		Store:   readPanelStore(o, p),
		Table:   readTable(o.at("table")),
		User:    readColumn(columns.at("user"), true),
		Status:  readColumn(columns.at("status"), true),
		Message: readColumn(columns.at("message"), false),
		Changed: readColumn(columns.at("changed"), false),
		Clock:   o.at("clock").oneOf("timestamp", "timestamp", "unix", "unix_millis"),
		By:      o.at("by").oneOf("id", "id", "email", "extension"),
		Values:  readValues(o.at("values")),
		Poll:    o.at("poll").duration(defaultPoll),
		Notify:  o.at("notify").text(""),
	}
	way := o.at("direction").oneOf("both", "both", "in", "out")
	panel.In, panel.Out = way != "out", way != "in"
	if panel.Poll < 100*time.Millisecond || panel.Poll > time.Hour {
		o.at("poll").fault(quote(panel.Poll.String())+" is no pace to read the table at", "write something from 100ms to 1h")
	}
	if panel.Notify != "" && (panel.Store.Driver != "postgres" || !channelName.MatchString(panel.Notify)) {
		o.at("notify").fault(quote(panel.Notify)+" is no channel of PostgreSQL", "write the name that the panel's NOTIFY has, of letters, digits and _, with driver: postgres")
	}
	if panel.Changed == "" && o.has("clock") {
		o.at("clock").warn("there is no column changed, so that this does nothing", "name one under columns, or remove clock")
	}
	return panel
}

// readPanelStore reads where the table is. A file of SQLite is the panel's and stays
// where it is.
func readPanelStore(o object, p paths) Store {
	s := Store{Driver: o.at("driver").oneOf("sqlite", "sqlite", "postgres", "mysql")}
	if kind, ok := storeServers[s.Driver]; ok {
		s.readServer(o, kind, p)
		return s
	}
	if text, ok := o.at("dsn").required(); ok && text != "" {
		s.DSN = p.beside(readStoreFile(o.at("dsn")))
	}
	return s
}

func readTable(v value) string {
	text, ok := v.required()
	parts := strings.Split(text, ".")
	if ok && (len(parts) > 2 || slices.ContainsFunc(parts, func(part string) bool { return !columnName.MatchString(part) })) {
		v.fault(quote(text)+" is no table", fmt.Sprintf("write table or schema.table, of letters, digits, _ $ and -, at most %d each", maxColumn))
		return ""
	}
	return text
}

func readColumn(v value, needed bool) string {
	text := v.text("")
	if needed {
		text, _ = v.required()
	}
	if text != "" && !columnName.MatchString(text) {
		v.fault(quote(text)+" is no column", fmt.Sprintf("write its name, of letters, digits, _ $ and -, at most %d", maxColumn))
		return ""
	}
	return text
}

// readValues reads what the panel calls statuses, a list of {status, value}.
func readValues(v value) map[presence.TypeID]string {
	items, ok := v.list()
	if v.missing() || !ok {
		return nil
	}
	values := make(map[presence.TypeID]string, len(items))
	called := make(map[string]string, len(items))
	for _, item := range items {
		o := item.object("status", "value")
		status, ok := o.at("status").required()
		text, given := o.at("value").required()
		_, twice := values[presence.TypeID(status)]
		switch first, taken := called[text]; {
		case !ok || !given:
		case twice:
			item.fault(quote(status)+" stands here twice", "remove one of them")
		case taken:
			item.fault(quote(text)+" is what "+first+" is called as well, so that nobody knows which was chosen", "give each its own")
		default:
			values[presence.TypeID(status)], called[text] = text, status
		}
	}
	return values
}

// warn tells of what does not go together with the mapping.
func (p *Panel) warn(root value, m *presence.Mapping) {
	if m == nil || p.Table == "" {
		return
	}
	at := func(key string) value {
		v := root
		v.path = "panel." + key
		return v
	}
	var unknown, without []string
	for id := range p.Values {
		if _, _, ok := m.Types.Lookup(id); !ok {
			unknown = append(unknown, string(id))
		}
	}
	for _, t := range m.Types.List() {
		if _, ok := p.Values[t.ID]; !ok {
			without = append(without, string(t.ID))
		}
		for id, text := range p.Values {
			if _, renamed := p.Values[t.ID]; !renamed && id != t.ID && text == string(t.ID) {
				at("values").warn(quote(text)+" is what "+string(id)+" is called, and the id of another status, which is called so as well", "give "+text+" a value of its own")
			}
		}
	}
	slices.Sort(unknown)
	if len(unknown) > 0 {
		at("values").warn("the mapping has no status "+strings.Join(unknown, ", "), "correct the id, or remove the line")
	}
	if len(p.Values) > 0 && len(without) > 0 {
		at("values").warn("without a value a status is called by its id, which the column may not take: "+strings.Join(without, ", "), "give each a value")
	}
	if number := p.shared(m); number != "" {
		at("by").warn(number+" is an extension on more than one PBX, and the table has one row for it", "use by: id or email, or take it that the first user has the row")
	}
}

// shared finds a number that stands for several extensions in the table.
func (p *Panel) shared(m *presence.Mapping) string {
	if p.By != "extension" {
		return ""
	}
	first := make(map[string]string)
	for _, u := range m.Users {
		for _, x := range u.Rules.Extensions {
			if pbx, ok := first[x.Number]; ok && pbx != x.PBX {
				return x.Number
			}
			first[x.Number] = x.PBX
		}
	}
	return ""
}
