package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const pictures = "../../testdata/screenshots"

// shown is an office at work, for pictures.
const shown = `sync: {incoming: latest, outgoing: all, priority: [dnd, meeting, lunch, away, available]}
statuses:
  - {id: available, name: Available, base: connected, color: "#2e7d32", asterisk: available, system: true}
  - {id: away, name: Away, base: absent, color: "#f9a825", asterisk: away, labels: true}
  - {id: lunch, name: Lunch, base: absent, color: "#ef6c00", asterisk: {state: away, subtype: lunch}, lasts: 1h, tags: [break]}
  - {id: meeting, name: Meeting, base: busy, color: "#c62828", asterisk: {state: xa, subtype: meeting}}
  - {id: dnd, name: Do not disturb, base: busy, color: "#b71c1c", asterisk: dnd}
  - {id: training, name: In training, base: busy, color: "#6a1b9a"}
users:
  - {id: alice, name: Alice Martin, extensions: ["1001", "1002"], groups: [support]}
  - {id: bob, name: Bob Lee, extensions: ["1003", "1004"], incoming: priority, groups: [support]}
  - {id: carol, name: Carol Okafor, extensions: ["1005", "1006"], groups: [sales], tags: [first-aid]}
  - {id: dave, name: Dave Lefèvre, extensions: ["1007", "1008"], groups: [sales]}
  - {id: erin, name: Erin Novák, extensions: ["1009"], groups: [sales]}
  - {id: frank, name: Frank García, extensions: ["1010", "1011"], groups: [workshop]}
  - {id: grace, name: Grace Nguyen, extensions: ["1012"], groups: [workshop]}
  - {id: heidi, name: Heidi Schmidt, extensions: ["1013", "1014"], groups: [workshop]}
`

// views are what is on the pictures: which page, how wide, light or dark.
var views = []struct {
	name, path, there string
	width, height     int64
	scheme            string
}{
	{"board", "/", `document.querySelectorAll("#people li").length === 8`, 1280, 560, "light"},
	{"board-dark", "/", `document.querySelectorAll("#people li").length === 8`, 1280, 560, "dark"},
	{"why", "/users/bob", `document.querySelectorAll("#why tbody tr").length === 2 && document.querySelector("#why .history li")`, 1280, 760, "light"},
	{"sync", "/sync", `document.querySelectorAll("#types tbody tr").length === 6`, 1280, 1400, "dark"},
	{"phone", "/", `document.querySelectorAll("#people li").length === 8`, 390, 844, "light"},
}

// The pictures of the README are made here: go test ./cmd/presencebridge -run Pictures -update.
func TestThePicturesOfTheREADMEAreThere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		takePictures(t)
	}
	for _, v := range views {
		name := v.name + ".png"
		if info, err := os.Stat(filepath.Join(pictures, name)); err != nil || info.Size() < 5000 {
			t.Errorf("%s is not a picture: %v", name, err)
		}
		if !strings.Contains(string(readme), "testdata/screenshots/"+name) {
			t.Errorf("the README does not show %s", name)
		}
	}
}

func takePictures(t *testing.T) {
	t.Helper()
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h, p := startHouse(t, shown, pbx), phone{t, pbxtest.Observe(t, pbx)}
	alice := h.enter("alice", "--role", "administrator", "--user", "alice")
	for number, says := range map[string][3]string{
		"1003": {"away", "lunch", "Back at 2"}, "1004": {"dnd", "", "Writing the report"}, "1005": {"available"}, "1007": {"xa", "meeting", "Quarterly review"},
		"1009": {"away"}, "1010": {"available"}, "1013": {"away", "lunch", ""},
	} {
		p.set(number, says[0], says[1], says[2])
	}
	if code, text := h.put("/api/v1/users/alice/status", map[string]any{"type": "away", "label": "At the dentist", "message": "Back at 11"}); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	h.set("carol", "training", "Room 5")
	for _, v := range views {
		alice.do(chromedp.EmulateViewport(v.width, v.height))
		alice.scheme(v.scheme)
		alice.visit(v.path)
		alice.sees(v.name, v.there)
		if v.name == "phone" {
			alice.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")))
		}
		alice.do(chromedp.WaitVisible(chromedp.CSS("#live[data-state=on]")))
		alice.picture(filepath.Join(pictures, v.name+".png"))
	}
}
