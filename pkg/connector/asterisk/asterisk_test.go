package asterisk

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ name, presentity, instance, want string }{
		{"another provider", "PJSIP:{extension}", "a", `presentity "PJSIP:{extension}"`},
		{"no place for the extension", "CustomPresence:1001", "a", "around {extension}"},
		{"two places", "CustomPresence:{extension}-{extension}", "a", "around {extension}"},
		{"a slash", "CustomPresence:a/{extension}", "a", "around {extension}"},
		{"no instance", "", "", `instance ""`},
		{"an upper case instance", "", "Main", `instance "Main"`},
		{"a long instance", "", strings.Repeat("a", 33), "1 to 32"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := New(Config{Name: "main", Presentity: tc.presentity, Instance: tc.instance}, zap.NewNop())
			if err == nil || !strings.Contains(err.Error(), "pbx main: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New: %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestExtensionOfPresentity(t *testing.T) {
	for _, tc := range []struct{ template, presentity, want string }{
		{"", "CustomPresence:1001", "1001"},
		{"", "custompresence:1001", "1001"},
		{"", "CUSTOMPRESENCE:Bob_1.x-y", "Bob_1.x-y"},
		{"", "CustomPresence:", ""},
		{"", "PJSIP:1001", ""},
		{"", "PJSIP/1001-and-more", ""},
		{"", "", ""},
		{"", "CustomPresence:10 01", ""},
		{"", "CustomPresence:a/b", ""},
		{"", "CustomPresence:été", ""},
		{"", "CustomPresence:" + strings.Repeat("9", 64), strings.Repeat("9", 64)},
		{"", "CustomPresence:" + strings.Repeat("9", 65), ""},
		{"", "CustomPresence:presencebridge-b-canary", ""},
		{"", "CustomPresence:presencebridge-b", "presencebridge-b"},
		{"CustomPresence:x-{extension}.y", "CustomPresence:x-1.y", "1"},
		{"CustomPresence:x-{extension}.y", "custompresence:x-1.y", "1"},
		{"CustomPresence:x-{extension}.y", "CustomPresence:X-1.y", ""},
		{"CustomPresence:x-{extension}.y", "CustomPresence:x-.y", ""},
		{"CustomPresence:aa{extension}aa", "CustomPresence:aaa", ""},
	} {
		where, err := parseAddress(tc.template)
		if err != nil {
			t.Fatal(err)
		}
		for _, numbers := range [][]string{nil, {"x", tc.want}} {
			translate := newTranslator(where, deviceTemplate{}, following(numbers...))
			if got := translate.number([]byte(tc.presentity)); got != tc.want {
				t.Errorf("with template %q, following %q, the extension of %q is %q, want %q", tc.template, numbers, tc.presentity, got, tc.want)
			}
		}
		if tc.want != "" && !strings.EqualFold(where.presentity(tc.want), tc.presentity) {
			t.Errorf("the presentity of %s is %s, want %s", tc.want, where.presentity(tc.want), tc.presentity)
		}
	}
}

func TestVersionsThatEscape(t *testing.T) {
	for version, want := range map[string]bool{
		"1.3": false, "2.5.0": false, "2.7.0": false, "2.8.0": true, "2.10.6": true, "5.0.4": true, "11.0.0": true, "?": true,
	} {
		if got := escapes(version); got != want {
			t.Errorf("escapes(%s) = %v", version, got)
		}
	}
}

// following is what a connector follows that was told these numbers.
func following(numbers ...string) *atomic.Pointer[connector.Numbers] {
	var follows atomic.Pointer[connector.Numbers]
	follows.Store(connector.NewNumbers(numbers))
	return &follows
}

func TestTextsAreCanonicalAndTheirMemoryBounded(t *testing.T) {
	translate := newTranslator(address{}, deviceTemplate{}, following())
	translate.escaped = true
	for raw, want := range map[string]string{
		`a\nb`:                                "a\nb",
		"bad \xff byte":                       "bad \uFFFD byte",
		strings.Repeat("a", 254) + "\xc3":     strings.Repeat("a", 254), // a rune that Asterisk has cut
		strings.Repeat("b", 300):              strings.Repeat("b", 255),
		strings.Repeat(`\n`, 255):             strings.Repeat("\n", 255),
		strings.Repeat("c", 253) + "\xc3\xa9": strings.Repeat("c", 253) + "é",
	} {
		for range 2 {
			if got := translate.text([]byte(raw)); got != want {
				t.Errorf("%q is read as %q, want %q", raw, got, want)
			}
		}
	}
	for i := range 3 * maxTexts {
		translate.text([]byte{byte(i), byte(i >> 8), 'x'})
	}
	if n := len(translate.texts); n > maxTexts {
		t.Errorf("%d texts are remembered", n)
	}
}

func TestRepeatedReportsAllocateNothing(t *testing.T) {
	where, err := parseAddress("")
	if err != nil {
		t.Fatal(err)
	}
	translate := newTranslator(where, deviceTemplate{}, following("1001"))
	translate.escaped = true
	presentity, status, subtype, message := []byte("CustomPresence:1001"), []byte("away"), []byte("lunch"), []byte(`Back at 2\nor 3`)
	if n := testing.AllocsPerRun(100, func() {
		number := translate.number(presentity)
		p, ok := translate.presence(status, subtype, message)
		if number != "1001" || !ok || p.State != presence.Away {
			t.Fatal("not understood")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBackoffGrowsToItsLimitWithFullJitter(t *testing.T) {
	b := backoff{min: 250 * time.Millisecond, max: 30 * time.Second}
	var longest time.Duration
	for try := range 200 {
		most := min(250*time.Millisecond<<min(try, 10), 30*time.Second)
		got := b.next()
		if got <= 0 || got > most {
			t.Fatalf("wait %d is %s, want at most %s", try, got, most)
		}
		longest = max(longest, got)
	}
	if longest < 15*time.Second {
		t.Errorf("the longest of 200 waits is %s", longest)
	}
	b.reset()
	if got := b.next(); got > 250*time.Millisecond {
		t.Errorf("the first wait after a reset is %s", got)
	}
}
