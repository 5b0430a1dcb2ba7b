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
	h := &house{running: configure(t, mapping, pbx)}
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
		h.kill()
		alice.sees("that it is not live", `document.getElementById("live").textContent.startsWith("not live since")`)
		h.startReady()
		p.set("1003", "away", "lunch", "back")
		alice.sees("that it is live again", `document.getElementById("live").dataset.state === "on"`)
		alice.sees("what happened since", rowShows("bob", "status", "Lunch"))
		alice.mu.Lock()
		alice.problems = nil // connections that were refused
		alice.mu.Unlock()
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
