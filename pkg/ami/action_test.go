package ami

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestActionsOnTheWire(t *testing.T) {
	for _, tc := range []struct {
		action Action
		want   string
	}{
		{Ping(), "Ping\n"},
		{CoreStatus(), "CoreStatus\n"},
		{CoreSettings(), "CoreSettings\n"},
		{ListCommands(), "ListCommands\n"},
		{PresenceStateList(), "PresenceStateList\n"},
		{must(t)(GetPresence("CustomPresence:101", "value")), "Getvar\nVariable: PRESENCE_STATE(CustomPresence:101,value)\r\n"},
		{must(t)(GetPresence("CustomPresence:101", "message")), "Getvar\nVariable: PRESENCE_STATE(CustomPresence:101,message,e)\r\n"},
		{must(t)(GetPresence("CustomPresence:101", "subtype")), "Getvar\nVariable: PRESENCE_STATE(CustomPresence:101,subtype,e)\r\n"},
		{must(t)(SetPresence("CustomPresence:101", "away", "lunch", "Back at 2, really?")),
			"Setvar\nVariable: PRESENCE_STATE(CustomPresence:101)\r\nValue: away,bHVuY2g=,QmFjayBhdCAyLCByZWFsbHk/,e\r\n"},
		{must(t)(SetPresence("CustomPresence:101", "not_set", "", "")),
			"Setvar\nVariable: PRESENCE_STATE(CustomPresence:101)\r\nValue: not_set,,,e\r\n"},
	} {
		if got := tc.action.Name() + "\n" + tc.action.body; got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if tc.action.String() != tc.action.Name() {
			t.Errorf("String of %s is %q", tc.action.Name(), tc.action)
		}
	}
}

func TestBadInputMakesNoAction(t *testing.T) {
	const good = "CustomPresence:101"
	for _, name := range []string{
		"", "101", "custompresence:101", "CustomPresence:", "CustomPresence:a/b", "CustomPresence:a,b", "CustomPresence:a)",
		"CustomPresence:a b", "CustomPresence:é", "CustomPresence:1\n", "\nCustomPresence:1", "CustomPresence:1\r\nAction: Originate",
		"CustomPresence:" + strings.Repeat("x", 65), "DEVICE_STATE:1", "CustomPresence:1\x00",
	} {
		for _, make := range []func(string) (Action, error){
			func(p string) (Action, error) { return GetPresence(p, "value") },
			func(p string) (Action, error) { return SetPresence(p, "away", "", "") },
		} {
			if a, err := make(name); err == nil || a != (Action{}) {
				t.Errorf("presentity %q made %q", name, a.body)
			}
		}
	}
	long := strings.Repeat("x", maxText+1)
	for _, tc := range [][3]string{
		{"", "", ""}, {"lunch", "", ""}, {"away,x", "", ""}, {"away\r\n", "", ""}, {"AWAY", "", ""}, {"invalid", "", ""},
		{"away", long, ""}, {"away", "", long}, {"away", "\x00", ""}, {"away", "", "a\x00b"},
	} {
		if a, err := SetPresence(good, tc[0], tc[1], tc[2]); err == nil || a != (Action{}) {
			t.Errorf("%q made %q", tc, a.body)
		}
	}
	if a, err := GetPresence(good, "value)"); err == nil {
		t.Errorf("field made %q", a.body)
	}
	if _, err := SetPresence("CustomPresence:"+strings.Repeat("x", 64), "unavailable", long[1:], long[1:]); err != nil {
		t.Errorf("the longest presence: %v", err)
	}
}

func TestPausesNameAQueueAndAMember(t *testing.T) {
	a, err := PauseMember("support", "Local/1001@from-queue/n", true, "presencebridge: Déjeuner")
	if err != nil || a.body != "Queue: support\r\nInterface: Local/1001@from-queue/n\r\nPaused: true\r\nReason: presencebridge: Déjeuner\r\n" {
		t.Errorf("%q, %v", a.body, err)
	}
	for _, bad := range [][3]string{
		{"", "PJSIP/1001", "x"}, {"support", "", "x"}, {"support", "PJSIP/1001", strings.Repeat("x", 80)}, {"support", "PJSIP/1001", "a;b"},
		{"support", "PJSIP/1001", "a\r\nAction: Originate"}, {"a\nb", "PJSIP/1001", "x"}, {"support", strings.Repeat("x", 1024), "x"},
	} {
		if a, err := PauseMember(bad[0], bad[1], false, bad[2]); err == nil {
			t.Errorf("%q made %q", bad, a.body)
		}
	}
}

func FuzzNoInputReachesTheWireAsALine(f *testing.F) {
	f.Add("CustomPresence:101", "away", "lunch", "Back at 2\r\nAction: Originate", "value")
	f.Add("CustomPresence:1\n", "dnd\r\n", "\x00", "é", "message,e)\r\n")
	f.Fuzz(func(t *testing.T, presentity, state, subtype, message, text string) {
		for _, build := range []func() (Action, error){
			func() (Action, error) { return GetPresence(presentity, text) },
			func() (Action, error) { return SetPresence(presentity, state, subtype, message) },
			func() (Action, error) { return PauseMember(presentity, message, true, text) },
			func() (Action, error) { return newAction("Login", "Username", text, "Secret", message) },
		} {
			a, err := build()
			if err != nil {
				continue
			}
			lines := strings.Split(a.body, "\r\n")
			if len(lines) > 5 || lines[len(lines)-1] != "" {
				t.Errorf("%s has the lines %q", a, lines)
			}
			for _, line := range lines {
				if strings.ContainsAny(line, "\r\n\x00") || len(line)+2 > maxLine {
					t.Errorf("%s has the line %q", a, line)
				}
			}
		}
		if a, err := SetPresence(presentity, state, subtype, message); err == nil {
			value, _ := strings.CutSuffix(a.body[strings.Index(a.body, "Value: ")+7:], "\r\n")
			parts := strings.Split(value, ",")
			if len(parts) != 4 || parts[0] != state || parts[3] != "e" || decoded(parts[1]) != subtype || decoded(parts[2]) != message {
				t.Errorf("value %q", value)
			}
		}
	})
}

func decoded(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "not base64: " + err.Error()
	}
	return string(b)
}
