package storetest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// backup is what a backup of o has.
func backup(t *testing.T, o Opener) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tryBackup(t, o, &b, nil); err != nil {
		t.Fatalf("backup: %v", err)
	}
	return b.Bytes()
}

func tryBackup(t *testing.T, o Opener, w io.Writer, p store.Progress) error {
	t.Helper()
	r, err := o.Reader()
	if err != nil {
		t.Fatalf("reader: %v", err)
	}
	defer func() { noError(t, r.Close()) }()
	_, err = r.Backup(t.Context(), w, at(0), p)
	return err
}

func restore(t *testing.T, s *store.SQL, file []byte, replace bool) (store.Backup, error) {
	t.Helper()
	return s.Restore(t.Context(), bytes.NewReader(file), store.Restoring{Replace: replace, Act: *act("restored", "a backup")})
}

// everything is what a store has, ids that it gives by itself apart.
type everything struct {
	State   State
	History []store.Entry
	Tokens  []store.Token
	Acts    []store.Act
	Rows    map[string][]byte

	Accounts    []store.Account
	Invitations []store.Invitation
}

func readAll(t *testing.T, s *store.SQL) (all everything) {
	t.Helper()
	var err error
	all.State, all.Tokens = load(t, s), allTokens(t, s)
	all.State.Clean = false // not of the backup
	all.History = withoutIDs(history(t, s, store.Query{Limit: 1 << 20}))
	all.Acts, err = s.Audit(t.Context(), store.Query{Limit: 1 << 20})
	noError(t, err)
	for i := range all.Acts {
		all.Acts[i].ID = 0
	}
	all.Rows, err = s.PanelRows(t.Context())
	noError(t, err)
	all.Accounts = allAccounts(t, s)
	all.Invitations, err = s.Invitations(t.Context())
	noError(t, err)
	return all
}

// fill puts something into every table: text that is hard to keep, NULL, the highest
// number, and two entries of one step.
func fill(t *testing.T, s *store.SQL) {
	t.Helper()
	var b store.Batch
	rows := map[string][]byte{}
	for i, text := range nasty {
		id := presence.UserID(fmt.Sprintf("%02d %s", i, text))
		b.Users = append(b.Users, store.User{ID: id, Name: text, Email: text, Version: uint64(i), Status: lunch(text), View: []byte(`{"m":"` + text + `"}`)})
		e := entry(id, uint64(i), at(i))
		e.Message, e.Label, e.By = text, text, text
		b.History = append(b.History, e, e)
		b.PBXs = append(b.PBXs, store.PBX{Name: fmt.Sprintf("%02d", i), Incarnation: text, Heard: at(i)})
		addToken(t, s, token("token "+text, i))
		addAccount(t, s, account("account "+text, text, i))
		rows["row "+text] = []byte(text)
		b.Own = append(b.Own, own(string(id), text, i))
	}
	b.Users = append(b.Users, store.User{ID: "zz nothing", Version: 1<<63 - 1, View: []byte{}})
	b.PBXs = append(b.PBXs, store.PBX{Name: "zz nothing"})
	save(t, s, &b)
	noError(t, s.SavePanelRows(t.Context(), rows))
}

func backUp(t *testing.T, o Opener) {
	s := open(t, o)
	fill(t, s)
	want := readAll(t, s)
	columns := panelRow(t, o, `SELECT `+statusColumns+`, removed, stale FROM users WHERE id = '01 Back at 2'`, 11)
	signedIn := []store.LoginSession{{Hash: "1", Account: "account ", Data: "{}", Expires: at(60)}}
	noError(t, s.SaveSessions(t.Context(), signedIn, nil, at(0)))
	file := backup(t, o) // while a bridge has the store
	closeStore(t, s, true)
	same(t, "a backup without a bridge", lines(t, backup(t, o)), lines(t, file))

	s = open(t, o)
	info, err := restore(t, s, file, true)
	noError(t, err)
	if !info.Made.Equal(at(0).Truncate(time.Second)) || info.Rows != int64(len(lines(t, file))-2-tables(t, file)) {
		t.Errorf("restored %+v", info)
	}
	got := readAll(t, s)
	restored := slices.IndexFunc(got.Acts, func(a store.Act) bool { return a == *act("restored", "a backup") })
	if restored < 0 {
		t.Fatalf("the restore is not among the acts: %+v", got.Acts)
	}
	got.Acts = slices.Delete(got.Acts, restored, restored+1)
	same(t, "everything", got, want)
	left, err := s.Sessions(t.Context(), at(0))
	noError(t, err)
	same(t, "sessions after a restore", len(left), 0)
	same(t, "columns for panels", panelRow(t, o, `SELECT `+statusColumns+`, removed, stale FROM users WHERE id = '01 Back at 2'`, 11), columns)
	// The store goes on where it was.
	more := store.Batch{Users: []store.User{user("zz", 1)}, History: []store.Entry{entry("zz", 1, at(999))}}
	save(t, s, &more)
	same(t, "the newest entry", history(t, s, store.Query{Limit: 1})[0].User, presence.UserID("zz"))
	closeStore(t, s, false)
	same(t, "clean after a restore", load(t, open(t, o)).Clean, false)
}

// lines are those of a backup.
func lines(t *testing.T, file []byte) []string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(file))
	noError(t, err)
	text, err := io.ReadAll(r)
	noError(t, err)
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

func tables(t *testing.T, file []byte) int { return len(columnsIn(t, file)) }

// columnsIn are the columns of each table in a backup.
func columnsIn(t *testing.T, file []byte) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, line := range lines(t, file) {
		var table struct {
			Table   string
			Columns []string
		}
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &table) == nil && table.Table != "" {
			all[table.Table] = table.Columns
		}
	}
	return all
}

// backUpWhole fails for who adds a table or a column and forgets the backup.
func backUpWhole(t *testing.T, o Opener) {
	s := open(t, o)
	defer closeStore(t, s, true)
	all := columnsIn(t, backup(t, o))
	db, err := o.Panel()
	noError(t, err)
	defer func() { _ = db.Close() }()
	for table, columns := range all {
		has := columnsOf(t, db, table)
		if table == "history" || table == "audit" {
			columns = append(columns, "id") // which the database gives
		}
		slices.Sort(has)
		slices.Sort(columns)
		same(t, "columns of "+table, columns, has)
	}
	same(t, "tables", len(all)+len([]string{"meta", "lease or sqlite_sequence", "goose_db_version", "sessions"}), tablesOf(t, o))
}

func columnsOf(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table)
	noError(t, err)
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	noError(t, errors.Join(err, rows.Err()))
	return names
}

// tablesOf counts the tables as a panel sees them.
func tablesOf(t *testing.T, o Opener) (n int) {
	t.Helper()
	db, err := o.Panel()
	noError(t, err)
	defer func() { _ = db.Close() }()
	for _, query := range []string{
		`SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'`,
		`SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()`,
		`SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()`,
	} {
		if db.QueryRowContext(t.Context(), query).Scan(&n) == nil {
			return n
		}
	}
	t.Fatal("there is no list of tables")
	return 0
}

// backUpMoment saves while a backup is under way. In each batch all users have the
// same version, and the history has as many entries as the version says.
func backUpMoment(t *testing.T, o Opener) {
	const users = 300
	s := open(t, o)
	batch := func(version uint64) *store.Batch {
		b := manyUsers(users, version)
		for _, u := range b.Users {
			b.History = append(b.History, entry(u.ID, version, at(int(version))))
		}
		return &b
	}
	save(t, s, batch(1))
	save(t, s, batch(2))
	version := uint64(2)
	var file bytes.Buffer
	err := tryBackup(t, o, &file, func(done, _ int64) {
		if done > users { // in the middle of the history
			version++
			save(t, s, batch(version))
		}
	})
	noError(t, err)
	if version == 2 {
		t.Fatal("nothing was saved meanwhile")
	}
	_, err = restore(t, s, file.Bytes(), true)
	noError(t, err)
	same(t, "users of the moment", countVersion(load(t, s), 2), users)
	same(t, "entries of the moment", len(history(t, s, store.Query{Limit: 10 * users})), 2*users)
}

func backUpNothing(t *testing.T, o Opener) {
	r, err := o.Reader()
	if err == nil {
		_, err = r.Backup(t.Context(), io.Discard, at(0), nil)
		noError(t, r.Close())
	}
	if err == nil || !strings.Contains(err.Error(), "there is no store") {
		t.Errorf("backup of nothing = %v", err)
	}
	s := open(t, o)
	closeStore(t, s, true)
	file := backup(t, o)
	s = open(t, o)
	if _, err := restore(t, s, file, false); err != nil {
		t.Errorf("restore of an empty store: %v", err)
	}
}

func restoreReplaces(t *testing.T, o Opener) {
	s := open(t, o)
	fill(t, s)
	file, want := backup(t, o), readAll(t, s)
	// More than is deleted at once.
	for i := range 3 {
		var b store.Batch
		for k := range 15_000 {
			b.History = append(b.History, entry("bob", uint64(i*15_000+k), at(i)))
		}
		b.Users = []store.User{user("bob", uint64(i))}
		save(t, s, &b)
	}
	before := readAll(t, s)
	_, err := restore(t, s, file, false)
	if !errors.Is(err, store.ErrNotEmpty) || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("restore = %v, want ErrNotEmpty", err)
	}
	same(t, "everything after a refusal", readAll(t, s), before)
	var deleted []int64
	_, err = s.Restore(t.Context(), bytes.NewReader(file), store.Restoring{
		Replace: true, Act: *act("restored", "a backup"), Deleting: func(done, _ int64) { deleted = append(deleted, done) },
	})
	noError(t, err)
	same(t, "deleted in steps", deleted, []int64{20_000, 40_000})
	got := readAll(t, s)
	got.Acts, want.Acts = nil, nil
	same(t, "everything", got, want)
}

// restoreAllOrNothing has files that are whole but hold what no store can, at their end.
func restoreAllOrNothing(t *testing.T, o Opener) {
	s := open(t, o)
	fill(t, s)
	file := backup(t, o)
	before := readAll(t, s)
	for name, spoil := range map[string]func(rows []string) []string{
		"a row twice": func(rows []string) []string { return append(rows, rows[len(rows)-1]) },
		"a row without a key": func(rows []string) []string {
			return append(rows, "[null,\"x\"]\n")
		},
	} {
		if _, err := restore(t, s, rewrite(t, file, spoil), true); err == nil {
			t.Errorf("%s was taken", name)
		}
		same(t, "everything after "+name, readAll(t, s), before)
	}
	save(t, s, &store.Batch{}) // the connection still works
}

// rewrite changes the lines of a backup and makes its count and checksum right again.
func rewrite(t *testing.T, file []byte, change func(rows []string) []string) []byte {
	t.Helper()
	all := lines(t, file)
	changed := change(slices.Clone(all[1 : len(all)-1]))
	var head map[string]any
	noError(t, json.Unmarshal([]byte(all[0]), &head))
	n := 0
	for _, line := range changed {
		if strings.HasPrefix(line, "[") {
			n++
		}
	}
	head["rows"] = n
	text, err := json.Marshal(head)
	noError(t, err)
	return seal(t, string(text)+"\n"+strings.Join(changed, ""))
}

// seal writes the end of a backup.
func seal(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, err := fmt.Fprintf(zip, "%s{\"sha256\":\"%x\"}\n", text, sha256.Sum256([]byte(text)))
	noError(t, errors.Join(err, zip.Close()))
	return b.Bytes()
}

// restoreCut ends a restore at many moments. It is there whole, or not at all.
func restoreCut(t *testing.T, o Opener) {
	s := open(t, o)
	big := manyUsers(3000, 7)
	save(t, s, &big)
	file := backup(t, o)
	small := store.Batch{Users: []store.User{user("alice", 1)}}
	_, err := restore(t, s, backupOf(t, o, s, &small), true)
	noError(t, err)
	whole := 0
	for i := range 15 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i)*time.Millisecond)
		_, err := s.Restore(ctx, bytes.NewReader(file), store.Restoring{Replace: true, Act: *act("restored", "")})
		cancel()
		st := load(t, s)
		switch n := countVersion(st, 7); {
		case n == 3000 && len(st.Users) == 3000:
			whole++
		case n == 0 && len(st.Users) == 1 && err != nil:
			continue
		default:
			t.Fatalf("round %d: %v, and %d of %d users are those of the backup", i, err, n, len(st.Users))
		}
		break
	}
	_, err = restore(t, s, file, true)
	noError(t, err)
	t.Logf("whole after the cut: %d", whole)
}

// backupOf is a backup of a store that has only b.
func backupOf(t *testing.T, o Opener, s *store.SQL, b *store.Batch) []byte {
	t.Helper()
	empty := rewrite(t, backup(t, o), func(rows []string) []string {
		return slices.DeleteFunc(rows, func(line string) bool { return strings.HasPrefix(line, "[") })
	})
	_, err := restore(t, s, empty, true)
	noError(t, err)
	save(t, s, b)
	return backup(t, o)
}
