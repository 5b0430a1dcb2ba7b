package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// long is a history of several pages; what it says has line breaks and quotes.
func long(n int) (entries []store.Entry) {
	for i := range n {
		entries = append(entries, store.Entry{
			ID: int64(n - i), User: "alice", At: apitest.Now.Add(-time.Duration(i) * time.Second).Truncate(time.Microsecond),
			Type: "lunch", Name: "Lunch", Message: fmt.Sprintf("back, \"at\" %d\r\nor so\n", n-i), By: "cli", Version: uint64(n - i),
		})
	}
	return entries
}

func historyOf(t *testing.T, entries []store.Entry, args ...string) *console {
	t.Helper()
	socket := filepath.Join(folder(t), "s")
	b := apitest.New()
	b.Entries = entries
	serve(t, b, socket)
	return newConsole(append([]string{"--socket", socket, "history"}, args...)...)
}

func TestALongHistoryComesWholeInEveryFormat(t *testing.T) {
	const n = 2*pageLines + 7
	entries := long(n)
	for _, tc := range []struct {
		args string
		want int
		read func(t *testing.T, text string) int
	}{
		{"--all", n, countTable}, {"--limit 1001", 1001, countTable}, {"", standardLines, countTable},
		{"--format csv", n, countCSV}, {"--format csv --limit 1000", 1000, countCSV},
		{"--format json", n, countJSON}, {"--format json --limit 2001", 2001, countJSON}, {"--format json --all", n, countJSON},
	} {
		c := historyOf(t, entries, strings.Fields(tc.args)...)
		if code := c.Run(t.Context()); code != exitDone || c.err.String() != "" {
			t.Errorf("%s: exit code %d, %s", tc.args, code, c.err.String())
		}
		if got := tc.read(t, c.out.String()); got != tc.want {
			t.Errorf("%s: %d entries, want %d", tc.args, got, tc.want)
		}
	}
}

func countTable(t *testing.T, text string) int {
	if strings.Count(text, "BECAUSE") != 1 || !strings.Contains(text, "2026-11-22 10:30:00") {
		t.Errorf("the head is not there once in %.300s", text)
	}
	return strings.Count(text, "back, ")
}

func countCSV(t *testing.T, text string) int {
	r := csv.NewReader(strings.NewReader(text))
	records, err := r.ReadAll()
	if err != nil || len(records) == 0 || records[0][6] != "message" {
		t.Fatalf("%v in %.300s", err, text)
	}
	if got, want := records[1][6], fmt.Sprintf("back, \"at\" %s\nor so\n", records[1][0]); got != want { // encoding/csv reads \r\n as \n
		t.Errorf("message %q, want %q", got, want)
	}
	if strings.Count(text, "\r\nor so\n\"") != len(records)-1 {
		t.Error("line breaks of messages have changed")
	}
	return len(records) - 1
}

func countJSON(t *testing.T, text string) int {
	var entries []store.Entry
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	if want := long(int(entries[0].ID))[0]; entries[0] != want {
		t.Errorf("first %+v, want %+v", entries[0], want)
	}
	return len(entries)
}

func TestAnExportThatCannotBeWrittenFails(t *testing.T) {
	c := historyOf(t, long(10), "--format", "csv")
	c.Out = full{}
	if code := c.Run(t.Context()); code != exitFailed || !strings.Contains(c.err.String(), "no space left") {
		t.Errorf("exit code %d, %s", code, c.err.String())
	}
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

var _ io.Writer = full{}

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-2": "'-2", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "\"'\r=1\"", "\n=1": "\"'\n=1\"",
		"=HYPERLINK(\"http://x\",1)": "\"'=HYPERLINK(\"\"http://x\"\",1)\"",
		"a=b":                        "a=b", "'=1": "'=1", "": "", "a,b": "\"a,b\"", "a\"b": "\"a\"\"b\"", "Zażółć 🍣": "Zażółć 🍣",
	} {
		if got := csvLine([]string{text, "x"}); got != want+",x\r\n" {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

func TestTimesOfThePastAreRead(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	c := newConsole()
	c.Zone = berlin
	c.Now = func() time.Time { return time.Date(2026, 10, 26, 0, 30, 0, 0, berlin) } // the day before had 25 hours
	for text, want := range map[string]string{
		"today":                     "2026-10-25T23:00:00Z 2026-10-26T23:00:00Z",
		"yesterday":                 "2026-10-24T22:00:00Z 2026-10-25T23:00:00Z",
		"2026-03-29":                "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z",
		"2024-02-29":                "2024-02-28T23:00:00Z 2024-02-29T23:00:00Z",
		"2d":                        "2026-10-23T22:30:00Z 2026-10-23T22:30:00Z",
		"90m":                       "2026-10-25T22:00:00Z 2026-10-25T22:00:00Z",
		"14:00":                     "2026-10-26T13:00:00Z 2026-10-26T13:00:00Z",
		"2026-11-22T14:00:00+02:00": "2026-11-22T12:00:00Z 2026-11-22T12:00:00Z",
	} {
		begin, end, err := c.past("--from", text)
		if got := utc(begin) + " " + utc(end); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"lunch", "2026-02-30", "25:00", "-5m", "99999999d", "2026-11-22 14:00", "0x1p2"} {
		if begin, _, err := c.past("--to", text); err == nil || !strings.Contains(err.Error(), "--to 2026-11-01") {
			t.Errorf("%s is %v, %v", text, begin, err)
		}
	}
}
