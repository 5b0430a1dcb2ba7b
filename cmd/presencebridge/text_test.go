package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/presencebridge/presencebridge/pkg/api/apitest"
)

func TestNothingAPhoneSaidReachesTheTerminalRaw(t *testing.T) {
	for in, want := range map[string]string{
		"Back at 2":        "Back at 2",
		"田中 é 👩\u200d💻":    "田中 é 👩\u200d💻",
		"\x1b[2J":          `\x1b[2J`,
		"a\r\nb\tc":        `a\r\nb\tc`,
		"\u202eevil":       `\u202eevil`,
		"\u009b31m":        `\u009b31m`,
		"bad \xff bytes":   "bad \uFFFD bytes",
		"no\u00a0break":    `no\u00a0break`,
		"a\u2028separator": `a\u2028separator`,
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestJSONIsSafeToPrintAndMeansTheSame(t *testing.T) {
	const in = "\x1b[2J\u009b31m\x7f\u202e\U000e0001 é\n"
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	safe := plainJSON(string(text))
	if i := strings.IndexFunc(safe, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q has a character that is not printable", safe)
	}
	var out string
	if err := json.Unmarshal([]byte(safe), &out); err != nil || out != in {
		t.Errorf("%s means %q, %v", safe, out, err)
	}
}

func TestTextIsCutByColumns(t *testing.T) {
	for _, tc := range []struct {
		in   string
		n    int
		want string
	}{
		{"lunch", 5, "lunch"}, {"lunch", 4, "lun…"}, {"lunch", 1, "…"}, {"田中さん", 8, "田中さん"}, {"田中さん", 7, "田中さ…"},
		{"田中さん", 6, "田中…"}, {"e\u0301e\u0301", 2, "e\u0301e\u0301"},
	} {
		if got := fit(tc.in, tc.n); got != tc.want || columns(got) > tc.n {
			t.Errorf("fit(%q, %d) = %q, want %q", tc.in, tc.n, got, tc.want)
		}
	}
}

func TestNoLineIsWiderThanTheTerminal(t *testing.T) {
	m := &newConsole().Main
	for width := 1; width < 130; width++ {
		for _, line := range m.userTable(apitest.Users(), true).lines(width, false) {
			if columns(line) > width {
				t.Fatalf("%d columns on a terminal of %d: %q", columns(line), width, line)
			}
		}
	}
}

func TestAgesAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "now", 999 * time.Millisecond: "now", 59 * time.Second: "59 s", 3 * time.Minute: "3 min", 47 * time.Hour: "47 h", 72 * time.Hour: "3 days",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%s) = %q, want %q", d, got, want)
		}
	}
}

func TestTimesAreAsShortAsTheyAreClear(t *testing.T) {
	m := &newConsole().Main
	for d, want := range map[time.Duration]string{
		time.Hour: "11:30", 24 * time.Hour: "Mon 10:30", -24 * time.Hour: "Sat 10:30", 300 * 24 * time.Hour: "2027-09-18 10:30",
	} {
		if got := m.clock(apitest.Now.Add(d)); got != want {
			t.Errorf("%s from now is %q, want %q", d, got, want)
		}
	}
}

func TestUntilIsReadAsPeopleWriteIt(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	m := &newConsole().Main
	m.Zone = berlin // 11:30 there
	for text, want := range map[string]string{
		"30m": "2026-11-22T11:00:00Z", "1h30m": "2026-11-22T12:00:00Z", "14:00": "2026-11-22T13:00:00Z",
		"11:30": "2026-11-23T10:30:00Z", "00:00": "2026-11-22T23:00:00Z", "2026-12-01T08:00:00+01:00": "2026-12-01T07:00:00Z",
	} {
		if got, err := m.when(text); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"-5m", "0s", "25:00", "2026-11-22T10:00:00Z", "tomorrow"} {
		if _, err := m.when(text); err == nil || !strings.Contains(err.Error(), "--until 14:00") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
