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
		DND: "Custom:DND" + Mark, Lamp: "Custom:PRES" + Mark, Lamps: "*55",
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
		{"a code that is a number", func(p *Plan) { p.Prefix, p.Numbers = "7", []Number{{"1001", "x"}, {"7-1", "y"}} }, `the code 71 and the number 7-1 of the mapping begin alike`},
		{"a code that begins a number", func(p *Plan) { p.Prefix = "10" }, `the code 100 and the number 1001 of the mapping`},
		{"a number that begins a code", func(p *Plan) { p.Prefix, p.Numbers = "12", []Number{{"1", "x"}} }, `the code 120 and the number 1 of the mapping`},
		{"the toggle is a number", func(p *Plan) { p.Prefix, p.Numbers = "7", []Number{{"78", "x"}} }, `the code 78 and the number 78`},
		{"lamps with letters", func(p *Plan) { p.Lamps = "x" }, "cannot begin the number of a lamp"},
		{"lamps that begin as codes do", func(p *Plan) { p.Prefix = "*5" }, `codes begin with "*5" and the numbers of lamps with "*55"`},
		{"codes that begin as lamps do", func(p *Plan) { p.Lamps = "*" }, `codes begin with "*7" and the numbers of lamps with "*"`},
		{"a lamp that is a number", func(p *Plan) { p.Lamps, p.Numbers = "5", []Number{{"1-0", "x"}, {"51-0", "y"}} }, `the lamp of 1-0 would have the number 51-0`},
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
	p.Device, p.DND, p.Presentity = "", "", "CustomPresence:x-"+Mark
	if got, err := p.Text(); err != nil || !strings.Contains(got, "exten => 1001,hint,,CustomPresence:x-1001 ;") || !strings.Contains(got, "Return(CustomPresence:x-1001)") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestAHintHasTheDevicesThatThereAre(t *testing.T) {
	for _, tc := range []struct {
		name, device, dnd, lamp, lamps string
		want, without                  string
	}{
		{"all", "PJSIP/" + Mark, "Custom:DND" + Mark, "Custom:PRES" + Mark, "*55", "exten => 1001,hint,PJSIP/1001&Custom:DND1001,CustomPresence:1001 ;", "left in"},
		{"no DND", "PJSIP/" + Mark, "", "Custom:PRES" + Mark, "*55", "exten => *551001,hint,Custom:PRES1001 ;", "DND1001"},
		{"DND alone", "", "Custom:DND" + Mark, "", "*55", "exten => 1001,hint,Custom:DND1001,CustomPresence:1001 ;", "*55"},
		{"no lamps wanted", "PJSIP/" + Mark, "", "Custom:PRES" + Mark, "", "exten => 1001,hint,PJSIP/1001,CustomPresence:1001 ;", "Custom:PRES"},
		{"no lamps, and codes where they would be", "PJSIP/" + Mark, "", "", "*7", "exten => *70,1,", "Custom:PRES"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := plan()
			p.Device, p.DND, p.Lamp, p.Lamps = tc.device, tc.dnd, tc.lamp, tc.lamps
			got, err := p.Text()
			if err != nil || !strings.Contains(got, tc.want) || strings.Contains(got, tc.without) {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}
