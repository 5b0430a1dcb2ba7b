package store

import (
	"io/fs"
	"math"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
)

// kept is a table that a backup has. A further one is one more line in keptTables,
// and a further column one more word, with the schema that brought it. A file that has no such column yet leaves it
// to its default.
type kept struct {
	since   int64 // the schema that made it
	name    string
	order   string // by what its rows are read, and so written again
	text    string // columns of text, which may be NULL
	numbers string // of whole numbers, likewise
}

// keptTables are all but the lease and meta, which are of one database, what goose keeps,
// and sessions: one that was ended since the backup would live again. Ids that a database gives by itself are given anew, in the same order.
var keptTables = []kept{
	{1, "users", "id", "id name email type type_name base color message since until set_by view label/7", "version removed stale"},
	{1, "history", "id", "user_id at type name base message since until set_by rule label/7", "version ordinal"},
	{1, "pbxs", "name", "name incarnation heard", ""},
	{2, "api_tokens", "name", "name hash scope user_id made made_by expires used", ""},
	{2, "audit", "id", "at done_by did what", ""},
	{3, "panel_rows", "row_key", "row_key memory", ""},
	{4, "mapped_users", "position", "user_id definition tags group_names", "position"},
	{6, "accounts", "name", "name title hash user_id role rights made made_by signed_in provider subject language preferences", "disabled"},
	{6, "invitations", "hash", "hash name user_id role rights made made_by expires", "again"},
	{7, "own_settings", "user_id", "user_id pbx extension", "sync"},
}

// column is one of a kept table.
type column struct {
	name   string
	number bool // else text
}

// columns are those that a schema has.
func (k *kept) columns(schema int64) (all []column) {
	add := func(words string, number bool) {
		for _, word := range strings.Fields(words) {
			name, since, later := strings.Cut(word, "/")
			if n, _ := strconv.ParseInt(since, 10, 64); !later || n <= schema {
				all = append(all, column{name, number})
			}
		}
	}
	add(k.text, false)
	add(k.numbers, true)
	return all
}

// everyColumn is for columns of the newest schema.
const everyColumn = math.MaxInt64

func names(columns []column) (all []string) {
	for _, c := range columns {
		all = append(all, c.name)
	}
	return all
}

// keptTable finds a table by its name; nil: there is none.
func keptTable(name string) *kept {
	for i := range keptTables {
		if keptTables[i].name == name {
			return &keptTables[i]
		}
	}
	return nil
}

// schema is the one that the migrations of a dialect lead to.
func (d *Dialect) schema() (newest int64, err error) {
	files, err := fs.Glob(d.Migrations, "*.sql")
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, err
		}
		newest = max(newest, version)
	}
	return newest, nil
}
