package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// These tests sit at a real browser, in front of the running program.

const password = "three green kettles sing"

// house is a running bridge with a web panel.
type house struct {
	*running
	base string
	*browser
}

func startHouse(t *testing.T, mapping string, pbx pbxtest.PBX) *house {
	t.Helper()
	return startHouseOver(t, "ami", mapping, pbx)
}

// startHouseOver is startHouse with the transports that over names, as of configureOver.
func startHouseOver(t *testing.T, over, mapping string, pbx pbxtest.PBX) *house {
	t.Helper()
	h := &house{running: configureOver(t, over, mapping, pbx)}
	address := freeAddress(t)
	h.base = "http://" + address
	text, err := os.ReadFile(filepath.Join(h.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("presencebridge.yaml", strings.Replace(string(text), "http: {socket: s}", fmt.Sprintf("http: {socket: s, listen: %q}\nsign_in: {url: %q}", address, h.base), 1))
	h.secrets = append(h.secrets, password)
	h.startReady()
	h.browser = startBrowser(t)
	return h
}

// invite has a link made by the command line.
func (h *house) invite(args ...string) string {
	h.running.t.Helper()
	c := newConsole(append([]string{"admin", "invite", "--socket", h.dir + "/s"}, args...)...)
	c.Now = time.Now
	if code := c.Run(h.running.t.Context()); code != exitDone {
		h.running.t.Fatalf("admin invite %v: exit code %d, %s", args, code, c.err.String())
	}
	return strings.TrimSpace(c.out.String())
}

// enter gives somebody an account, and a tab in which they have signed in.
func (h *house) enter(name string, args ...string) *tab {
	h.running.t.Helper()
	p := h.open(h.base)
	link := h.invite(append(args, name)...)
	p.do(chromedp.Navigate(link),
		chromedp.SendKeys(chromedp.CSS("[name=password]"), password),
		chromedp.SendKeys(chromedp.CSS("[name=again]"), password+kb.Enter))
	p.sees("the board", `document.getElementById("people")?.children.length > 0 && document.getElementById("live").dataset.state === "on"`)
	return p
}

// row is an expression for the row of a user on the board.
func row(user string) string {
	return fmt.Sprintf(`document.querySelector("#people a[href='/users/%s']")?.closest("li")`, user)
}

// rowShows is an expression that is true where a user's row shows a text.
func rowShows(user, class, text string) string {
	return fmt.Sprintf(`%s?.querySelector(%q)?.textContent === %s`, row(user), "."+class, quoteJS(text))
}

func inTheBrowser(t *testing.T, mapping string, test func(h *house, p phone)) {
	t.Helper()
	browserPath(t)
	pbxtest.Run(t, pbxtest.Options{}, func(t *testing.T, pbx pbxtest.PBX) {
		test(startHouse(t, mapping, pbx), phone{t, pbxtest.Observe(t, pbx)})
	})
}

func TestAStatusChosenInTheBrowserIsSeenByOthersAndByThePhone(t *testing.T) {
	inTheBrowser(t, threeMethods, func(h *house, p phone) {
		alice, bob := h.enter("alice", "--user", "alice"), h.enter("bob", "--user", "bob")
		alice.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")),
			chromedp.Click(chromedp.CSS("#choose [value=meeting]")),
			chromedp.SendKeys(chromedp.CSS("#choose [name=message]"), "Room 5"),
			chromedp.Click(chromedp.CSS("#choose [type=submit]")))
		for _, tab := range []*tab{alice, bob} {
			tab.sees("the meeting", rowShows("alice", "status", "Meeting")+"&&"+rowShows("alice", "message", "Room 5"))
		}
		alice.sees("the own status in the bar", `document.querySelector("#mine .status").textContent === "Meeting"`)
		p.sees("1001", "xa", "meeting", "Room 5")
		p.sees("1002", "xa", "meeting", "Room 5")

		// A phone's message is an attacker's text.
		const hostile = `<img src=x onerror=alert(1)>"'&{{.}}`
		p.set("1003", "dnd", "", hostile)
		bob.sees("the message as it is", rowShows("bob", "message", hostile))
		bob.visit("/users/bob")
		bob.sees("the reason", `document.querySelector(".verdict").textContent.includes("main/1003 decides")`)
		bob.sees("the message there", fmt.Sprintf(`document.querySelector("tbody").textContent.includes(%s)`, quoteJS(hostile)))
		if n := eval[int](bob, `document.querySelectorAll("img[src=x]").length`); n != 0 {
			bob.t.Error("a message became markup")
		}
	})
}

func TestTheKeyboardAloneSetsAStatus(t *testing.T) {
	inTheBrowser(t, threeMethods, func(h *house, p phone) {
		alice := h.enter("alice", "--user", "alice")
		alice.tabTo("#mine")
		alice.press(kb.Enter)
		alice.sees("the dialog", `document.getElementById("choose").open`)
		alice.tabTo("#choose [name=type]")
		alice.press(kb.ArrowDown)
		alice.tabTo("#choose [name=message]")
		alice.press("h", "i")
		alice.press(kb.Enter)
		alice.sees("the dialog closed", `!document.getElementById("choose").open`)
		alice.sees("a status with the message", rowShows("alice", "message", "hi"))
		alice.press(kb.Tab)
		alice.tabTo("#mine")
		alice.press(kb.Enter)
		alice.sees("the dialog", `document.getElementById("choose").open`)
		alice.press(kb.Escape)
		alice.sees("the dialog closed by Escape", `!document.getElementById("choose").open`)
		alice.sees("the focus back where it was", `document.activeElement.id === "mine"`)
	})
}

func TestThePageSaysWhenItIsNotLiveAndComesBack(t *testing.T) {
	inTheBrowser(t, threeMethods, func(h *house, p phone) {
		alice := h.enter("alice", "--user", "alice")
		alice.excuse("net::ERR_") // while there is no bridge
		h.kill()
		alice.sees("that it is not live", `document.getElementById("live").textContent.startsWith("not live since")`)
		h.startReady()
		p.set("1003", "away", "lunch", "back")
		alice.sees("that it is live again", `document.getElementById("live").dataset.state === "on"`)
		alice.sees("what happened since", rowShows("bob", "status", "Lunch"))
	})
}

// A browser opens six connections to one server, and a page that has the seventh hangs.
func TestTenTabsOfOnePersonAreAllLive(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h, p := startHouse(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
	alice := h.enter("alice", "--user", "alice")
	tabs := []*tab{alice}
	for range 9 {
		tabs = append(tabs, alice.another("/"))
	}
	for _, state := range []string{"away", "dnd"} {
		p.set("1003", state, "", "in every tab")
		want := map[string]string{"away": "Away", "dnd": "Do not disturb"}[state]
		for i, tab := range tabs {
			tab.sees(fmt.Sprintf("%s in tab %d", want, i), rowShows("bob", "status", want))
		}
		if state == "away" { // the first tab has the stream; without it the others go on
			tabs[0].do(chromedp.Navigate("about:blank"))
			tabs = tabs[1:]
		}
	}
}

// bob goes by priority, and both his phones have said something.
const byPriority = `# Whoever edits this keeps the comments.
sync: {incoming: priority, outgoing: default, priority: [meeting, away, dnd]} # the order of importance` + statuses + `
users:
  - {id: alice, extensions: ["1001", "1002"]}
  - {id: bob, extensions: ["1003", "1004"]}
`

func TestAPriorityThatIsDraggedChangesTheDecision(t *testing.T) {
	inTheBrowser(t, byPriority, func(h *house, p phone) {
		p.set("1003", "away", "", "")
		p.set("1004", "dnd", "", "")
		root := h.enter("root", "--role", "administrator", "--user", "alice")
		root.sees("Away, which stands above DND", rowShows("bob", "status", "Away"))
		root.visit("/sync")
		root.sees("the order", `document.querySelectorAll("#priority li").length > 3`)
		root.do(chromedp.DragAndDrop(chromedp.CSS(`#priority [data-id=dnd]`), chromedp.CSS(`#priority [data-id=meeting]`)))
		root.sees("DND where it was dragged to", `[...document.querySelectorAll("#priority li")].findIndex((li) => li.dataset.id === "dnd") < 2`)
		root.sees("what is not saved", `document.querySelector("#pending p").textContent === "1 change is not saved"`)
		root.do(chromedp.Click(chromedp.CSS("#preview")))
		root.sees("whose status would change", `document.querySelector("#previewed li")?.textContent.startsWith("bob: Away → Do not disturb")`)
		root.do(chromedp.Click(chromedp.CSS("#previewed button")), chromedp.Click(chromedp.CSS("#save")))
		root.sees("that it is saved", `document.getElementById("done").textContent === "Saved, and in force."`)
		if s := h.user("bob").Status; s == nil || s.Type != "dnd" {
			t := h.running.t
			t.Errorf("bob is %+v", s)
		}
		text, err := os.ReadFile(filepath.Join(h.dir, "mapping.yaml"))
		if err != nil || !strings.HasPrefix(string(text), "# Whoever edits this keeps the comments.\n") || !strings.Contains(string(text), "# the order of importance") {
			h.running.t.Errorf("the file is now:\n%s", text)
		}

		// With the keyboard alone, back again.
		root.tabTo("#priority [data-id=dnd] button")
		for range 6 {
			root.do(chromedp.KeyEvent(kb.ArrowDown, chromedp.KeyModifiers(1))) // Alt
		}
		root.sees("DND at the end", `document.querySelector("#priority li:last-child").dataset.id === "dnd"`)
		root.sees("that a screen reader is told", `document.getElementById("moved").textContent.startsWith("Do not disturb is now")`)
		root.do(chromedp.Click(chromedp.CSS("#save")))
		root.sees("that it is saved", `document.getElementById("pending").hidden`)
		root.do(chromedp.Click(chromedp.CSS("#undo")))
		root.sees("what was before", `[...document.querySelectorAll("#priority li")].findIndex((li) => li.dataset.id === "dnd") < 2`)
	})
}

func TestAStatusTypeIsMadeOnThePageAndNothingTypedIsLost(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h := startHouse(t, threeMethods, pbx)
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.visit("/sync")
	root.sees("the types", `document.querySelectorAll("#types tbody tr").length === 6`)
	root.do(chromedp.Click(chromedp.CSS("#new")), chromedp.SendKeys(chromedp.CSS("#edit [name=name]"), "Homeoffice – Büro"), chromedp.Click(chromedp.CSS("#edit [type=submit]")))
	root.sees("the new one", `document.querySelector("#types tbody tr:last-child").textContent.includes("homeoffice-buro")`)
	root.do(chromedp.Click(chromedp.CSS("#types tbody tr:last-child button")), chromedp.SendKeys(chromedp.CSS("#edit [name=lasts]"), "soon"), chromedp.Click(chromedp.CSS("#edit [type=submit]")), chromedp.Click(chromedp.CSS("#save")))
	root.sees("what is wrong", `document.getElementById("trouble").textContent.includes("lasts")`)
	root.sees("what was typed", `document.querySelector("#types tbody tr:last-child").textContent.includes("Büro") && !document.getElementById("pending").hidden`)
	root.expect("422")

	// Somebody edits the file meanwhile: both changes are kept.
	text, err := os.ReadFile(filepath.Join(h.dir, "mapping.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("mapping.yaml", strings.Replace(string(text), "name: Away,      base", "name: Out, base", 1))
	root.do(chromedp.Click(chromedp.CSS("#types tbody tr:last-child button")))
	root.sees("the dialog", `document.getElementById("edit").open && document.querySelector("#edit [name=lasts]").value === "soon"`)
	root.do(chromedp.Click(chromedp.CSS("#edit [name=lasts]")), chromedp.KeyEvent("a", chromedp.KeyModifiers(2)), chromedp.KeyEvent(kb.Backspace),
		chromedp.Click(chromedp.CSS("#edit [type=submit]")), chromedp.Click(chromedp.CSS("#save")))
	root.sees("that the file has changed", `document.getElementById("trouble").textContent.includes("changed meanwhile")`)
	root.expect("412")
	root.sees("both changes", `document.getElementById("types").textContent.includes("Out") && document.getElementById("types").textContent.includes("Büro")`)
	root.do(chromedp.Click(chromedp.CSS("#save")))
	root.sees("that it is saved", `document.getElementById("done").textContent === "Saved, and in force."`)
	if text, err = os.ReadFile(filepath.Join(h.dir, "mapping.yaml")); err != nil || !strings.Contains(string(text), "Homeoffice – Büro") || !strings.Contains(string(text), "name: Out") {
		t.Errorf("the file is now:\n%s", text)
	}
	root.do(chromedp.Click(chromedp.CSS("#types tbody tr:last-child button:last-child")))
	root.sees("who made it", `document.querySelector("#past li")?.textContent.includes("root in the panel: status type created")`)
}

func TestOnesOwnSettingsAreMadeOnThePage(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h := startHouse(t, threeMethods, pbx)
	alice := h.enter("alice", "--user", "alice")
	alice.visit("/me")
	alice.sees("the extensions", `document.querySelectorAll("#settings tbody tr").length === 2`)
	alice.do(chromedp.Click(chromedp.CSS(`#settings [value="main/1002"]`)))
	alice.sees("that it is saved", `document.querySelector("#settings .done").textContent === "Saved." && document.querySelector("#settings .mapping").textContent.includes("main/1001")`)
	alice.do(chromedp.Click(chromedp.CSS(`#settings [name=sync]`)))
	pbxtest.Eventually(t, patience, "the bridge has both", func() bool {
		var s struct {
			Default struct{ Extension string } `json:"default_extension"`
			Sync    *bool
		}
		h.get("/api/v1/users/alice/settings", &s)
		return s.Default.Extension == "1002" && s.Sync != nil && !*s.Sync
	})
	alice.do(chromedp.SetValue(chromedp.CSS("#account [name=language]"), "de"), chromedp.Click(chromedp.CSS("#account button")))
	alice.sees("German", `document.documentElement.lang === "de" && document.querySelector("h2").textContent === "Meine Nebenstellen"`)
	alice.visit("/")
	alice.sees("the board", `document.querySelectorAll("#people li").length === 4`)
	alice.do(chromedp.Click(chromedp.CSS(`#people li:nth-child(3) .star`)))
	alice.sees("the favourite first", `document.querySelector("#people li .star").getAttribute("aria-pressed") === "true"`)
	alice.visit("/")
	alice.sees("the favourite first, still", `document.querySelector("#people li .star")?.getAttribute("aria-pressed") === "true"`)
	alice.do(chromedp.Click(chromedp.CSS("header form button")))
	alice.sees("the sign-in", `location.pathname === "/sign-in"`)
}

// How long it takes is reported and not judged: machines differ.
func TestTenThousandPeopleAreOnOneBoard(t *testing.T) {
	browserPath(t)
	const people = 10_000
	var mapping strings.Builder
	mapping.WriteString("sync: {incoming: latest, outgoing: all}" + statuses + "users:\n")
	for i := range people {
		fmt.Fprintf(&mapping, "  - {id: u%d, name: Person %d, extensions: [\"%d\", \"%d\"], groups: [g%d]}\n", i, i, 100_000+2*i, 100_001+2*i, i%7)
	}
	h := startHouse(t, mapping.String(), pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice := h.enter("alice", "--user", "u5000")
	alice.visit("/")
	alice.sees("everybody", fmt.Sprintf(`document.querySelectorAll("#people li").length === %d && !document.querySelector("#people[aria-busy]")`, people))
	t.Logf("first paint and everybody, ms: %s", eval[string](alice, `(() => {
		const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
		return Math.round(paint) + ", " + Math.round(performance.now());
	})()`))
	// From the press of the button to the row: over the API, the disk, the feed and the page.
	t.Logf("own choice to its row, ms: %s", eval[string](alice, `(async () => {
		const row = document.querySelector("#people a[href='/users/u5000']").closest("li").querySelector(".status"), took = [];
		for (const [type, name] of [["away", "Away"], ["dnd", "Do not disturb"], ["lunch", "Lunch"], ["meeting", "Meeting"], ["available", "Available"]]) {
			const start = performance.now();
			const seen = new Promise((done) => new MutationObserver((_, o) => { if (row.textContent === name) { o.disconnect(); done(); } }).observe(row, {childList: true, characterData: true, subtree: true}));
			await fetch("/api/v1/users/u5000/status", {method: "PUT", headers: {"Content-Type": "application/json"}, body: JSON.stringify({type})});
			await seen;
			took.push(Math.round(performance.now() - start));
		}
		return took.join(", ");
	})()`))
	t.Logf("search among them to the next frame, ms: %s", eval[string](alice, `(async () => {
		const start = performance.now();
		document.querySelector("[name=q]").value = "person 4711";
		document.querySelector("[name=q]").dispatchEvent(new Event("input", {bubbles: true}));
		await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
		return String(Math.round(performance.now() - start));
	})()`))
	alice.sees("those who were sought", `document.getElementById("count").textContent === "3 of 10,000"`) // two by their numbers
	eval[bool](alice, `document.querySelector("[name=q]").value = "", document.querySelector("[name=q]").dispatchEvent(new Event("input", {bubbles: true}))`)
	alice.sees("everybody again", `document.getElementById("count").textContent === "10,000 people"`)
}
