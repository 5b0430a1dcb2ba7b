package dialplan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

var update = flag.Bool("update", false, "write the golden file")

// plan is the sample mapping, and names that make it hard.
func plan() Plan {
	image := func(s presence.State, subtype string) *presence.Image {
		return &presence.Image{State: s, Subtype: subtype}
	}
	return Plan{
		PBX: "main", Context: "presence", Prefix: "*7", Presentity: "CustomPresence:" + Mark, Device: "PJSIP/" + Mark,
		Numbers: []Number{{"1001", "Alice Martin"}, {"1002", "Zoë; --"}, {"_X.", "Eve"}, {"10-5", "Bob"}, {"105", "Carol"}, {"a.b_c", "Dave"}},
		Types: []presence.StatusType{
			{ID: "available", Name: "Available", Base: presence.Connected, Asterisk: image(presence.Available, "")},
			{ID: "training", Name: "In training", Base: presence.Busy},
			{ID: "away", Name: "Away", Base: presence.Absent, Asterisk: image(presence.Away, "")},
			{ID: "lunch", Name: "Lunch", Base: presence.Absent, Asterisk: image(presence.Away, `lunch, or "tea"; ok?`)},
			{ID: "meeting", Name: "Meeting", Base: presence.Busy, Asterisk: image(presence.XA, "meeting")},
			{ID: "dnd", Name: "Do not disturb", Base: presence.Busy, Asterisk: image(presence.DND, "")},
		},
	}
}

func TestTheDialplanOfTheSample(t *testing.T) {
	got, err := plan().Text()
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../../../testdata/dialplan/sample.conf"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%v; got:\n%s", err, got)
	}
}

func TestEveryLineIsOfAKindThatWeWrite(t *testing.T) {
	p := plan()
	for r := rune(1); r < 0x300; r++ {
		p.Types[0].Name += string(r)
		p.Numbers[0].User = p.Types[0].Name + "\xff"
		p.Types[0].ID = presence.TypeID(p.Types[0].Name)
	}
	got, err := p.Text()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		switch {
		case line == "\n", strings.HasPrefix(line, "; "), line == ";\n", strings.HasPrefix(line, "exten => "), strings.HasPrefix(line, " same => n"),
			strings.HasPrefix(line, "[presence-"):
		default:
			t.Errorf("line %q", line)
		}
		if strings.Contains(line, ";--") || strings.ContainsRune(strings.TrimSuffix(line, "\n"), '\r') {
			t.Errorf("line %q", line)
		}
	}
}

func TestMoreThanEightStatusesHaveTwoDigits(t *testing.T) {
	p := plan()
	for i := range 60 {
		p.Types = append(p.Types, presence.StatusType{ID: presence.TypeID(fmt.Sprint("more", i)), Base: presence.Busy, Asterisk: &presence.Image{State: presence.XA, Subtype: fmt.Sprint(i)}})
	}
	got, err := p.Text()
	for _, want := range []string{"exten => *700,1", "exten => *764,1", "exten => *798,1", "exten => *799,1"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: no %s in\n%s", err, want, got)
		}
	}
}

func TestWhatCannotBeWrittenIsRefusedInASentence(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*Plan)
		want string
	}{
		{"a context of several lines", func(p *Plan) { p.Context = "a]\n[b" }, "name of a context"},
		{"no context", func(p *Plan) { p.Context = "" }, "name of a context"},
		{"a prefix with letters", func(p *Plan) { p.Prefix = "*x" }, "cannot begin a code"},
		{"no prefix", func(p *Plan) { p.Prefix = "" }, "cannot begin a code"},
		{"nobody there", func(p *Plan) { p.Numbers = nil }, "no user"},
		{"only patterns", func(p *Plan) { p.Numbers = []Number{{"_1", "x"}} }, "no user"},
		{"too many", func(p *Plan) {
			for range 100 {
				p.Types = append(p.Types, p.Types[0])
			}
		}, "map fewer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plan()
			tc.edit(&p)
			if text, err := p.Text(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

func TestWithoutTheStatusesForItThereIsNoToggle(t *testing.T) {
	for _, id := range []presence.TypeID{"dnd", "available"} {
		p := plan()
		for i := range p.Types {
			if p.Types[i].ID == id {
				p.Types[i].Asterisk = nil
			}
		}
		if got, err := p.Text(); err != nil || strings.Contains(got, "exten => *78") || !strings.Contains(got, "left out: it needs") {
			t.Errorf("without %s: %v\n%s", id, err, got)
		}
	}
}

func TestWithoutADeviceHintsAreOfPresenceOnly(t *testing.T) {
	p := plan()
	p.Device, p.Presentity = "", "CustomPresence:x-"+Mark
	if got, err := p.Text(); err != nil || !strings.Contains(got, "exten => 1001,hint,,CustomPresence:x-1001 ;") || !strings.Contains(got, "Return(CustomPresence:x-1001)") {
		t.Errorf("%v\n%s", err, got)
	}
}
