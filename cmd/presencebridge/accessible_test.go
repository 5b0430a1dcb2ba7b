package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// axe is the text of axe-core, which looks for what keeps people from using a page.
func axe(t *testing.T) string {
	t.Helper()
	path := os.Getenv("PRESENCEBRIDGE_TEST_AXE")
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("PRESENCEBRIDGE_TEST_AXE is not set, and CI may not do without")
		}
		t.Skip("no axe-core: npm install axe-core@4.11.0, and set PRESENCEBRIDGE_TEST_AXE to the path of its axe.min.js; make test does it where npm is")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// finding is what axe has against a page.
type finding struct {
	ID, Impact, Help string
	Nodes            []string
}

// findings are those of WCAG 2.2, levels A and AA, and of good practice.
const findings = `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map(
	(v) => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => n.html + " " + n.failureSummary)})))`

func (p *tab) accessible(what, source string) {
	p.t.Helper()
	// Not as a script of the page, which its policy would refuse.
	if _, err := chromedp.Call(p.ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: source + ";0"}); err != nil {
		p.t.Fatal(err)
	}
	for _, f := range eval[[]finding](p, findings) {
		p.t.Errorf("%s: %s (%s): %s\n%s", what, f.ID, f.Impact, f.Help, strings.Join(f.Nodes, "\n"))
	}
}

// seen are the pages, and what tells that one has what it shows.
var seen = []struct{ name, path, there string }{
	{"board", "/", `document.querySelectorAll("#people li").length === 4`},
	{"me", "/me", `document.querySelectorAll("#settings tbody tr").length === 2 && document.querySelector("#me .history li")`},
	{"why", "/users/bob", `document.querySelectorAll("#why tbody tr").length === 2 && document.querySelector("#why .history li")`},
	{"sync", "/sync", `document.querySelectorAll("#priority li").length > 3`},
	{"health", "/health", `document.querySelector("#pbxs tbody tr")`},
	{"accounts", "/accounts", `document.querySelector("#accounts tbody tr")`},
	{"password", "/account/password", `document.querySelector("[name=old]")`},
	{"nothing", "/nothing", `document.querySelector(".card")`},
}

// dialogs are those of pages, how one comes to them, and what tells that one has.
var dialogs = []struct{ id, path, ready, open string }{
	{"edit", "/sync", `document.querySelector("#types tbody tr")`, `document.querySelector("#types tbody button").click()`},
	{"edit", "/sync", `document.querySelector("#types tbody tr")`, // with what is wrong
		`document.getElementById("new").click(); document.querySelector("#edit [type=submit]").click()`},
	{"past", "/sync", `document.querySelector("#types tbody tr")`, `document.querySelector("#types tbody button:last-child").click()`},
	{"previewed", "/sync", `document.querySelector("#types tbody tr")`,
		`document.querySelector("#sync [value=priority]").click(); document.getElementById("preview").click()`},
	{"change", "/accounts", `document.querySelector("#accounts tbody tr")`, `document.querySelector("#accounts tbody button").click()`},
	{"sure", "/accounts", `document.querySelector("#accounts tbody tr")`, `document.querySelector("#accounts tbody button:last-child").click()`},
	{"link", "/accounts", `document.querySelector("#accounts tbody tr")`, `document.querySelector("#invite [type=submit]").click()`},
}

func TestEverybodyCanUseTheDialogs(t *testing.T) {
	source := axe(t)
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h, p := startHouse(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
	p.set("1003", "dnd", "", "Writing the report")
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	for _, d := range dialogs {
		root.visit(d.path)
		root.sees("the page of "+d.id, d.ready)
		eval[bool](root, d.open+"; true")
		root.sees("the dialog "+d.id, fmt.Sprintf(`document.getElementById(%q).open`, d.id))
		if !eval[bool](root, `!!document.getElementById(document.querySelector("dialog[open]").getAttribute("aria-labelledby"))?.textContent.trim()`) {
			t.Errorf("the dialog %s has no name", d.id) // axe looks for it at role="dialog" alone
		}
		for _, scheme := range []string{"light", "dark"} {
			root.scheme(scheme)
			root.accessible("the dialog "+d.id+", "+scheme, source)
		}
		root.do(chromedp.EmulateViewport(320, 640))
		if wide := eval[int64](root, `document.querySelector("dialog[open]").scrollWidth - document.querySelector("dialog[open]").clientWidth`); wide > 0 {
			t.Errorf("the dialog %s is %d too wide on 320", d.id, wide)
		}
		root.do(chromedp.EmulateViewport(1280, 900))
		root.press(kb.Escape)
		root.sees("no dialog", `!document.querySelector("dialog[open]")`)
		eval[bool](root, `document.getElementById("discard")?.click(); true`) // or the browser asks before it leaves
	}
}

func TestEverybodyCanTakeAnInvitationUp(t *testing.T) {
	source := axe(t)
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	for what, link := range map[string]string{"with a name": h.invite("bob"), "without a name": h.invite()} {
		out := h.open(h.base)
		out.do(chromedp.Navigate(link))
		out.sees("the invitation", `document.querySelector("[name=again]")`)
		for _, scheme := range []string{"light", "dark"} {
			out.scheme(scheme)
			out.accessible("an invitation "+what+", "+scheme, source)
		}
		eval[bool](out, `document.forms[0].noValidate = true`)
		out.do(chromedp.SendKeys(chromedp.CSS("[name=password]"), "short"+kb.Enter))
		out.sees("what is wrong", `document.querySelector("[role=alert]")`)
		out.accessible("an invitation "+what+", refused", source)
		out.expect("422")
	}
}

func TestEverybodyCanUseThePages(t *testing.T) {
	source := axe(t)
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h, p := startHouse(t, threeMethods, pbx), phone{t, pbxtest.Observe(t, pbx)}
	p.set("1003", "dnd", "", "Writing the report")
	p.set("1004", "away", "lunch", "Back at 2")
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")))
	for _, scheme := range []string{"light", "dark"} {
		root.scheme(scheme)
		root.accessible("the dialog of a status, "+scheme, source)
	}
	root.do(chromedp.Click(chromedp.CSS("#choose [type=submit]")))
	for _, page := range seen {
		root.visit(page.path)
		root.sees(page.name, page.there)
		for _, scheme := range []string{"light", "dark"} {
			root.scheme(scheme)
			root.accessible(page.name+", "+scheme, source)
			eval[bool](root, `document.body.classList.toggle("stale")`)
			root.accessible(page.name+", "+scheme+", not live", source)
			eval[bool](root, `!document.body.classList.toggle("stale")`)
		}
		for _, width := range []int64{320, 768, 1280} { // WCAG 2.2, 1.4.10: nothing is scrolled in two directions
			root.do(chromedp.EmulateViewport(width, 900))
			if !eval[bool](root, `parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) >= document.querySelector(".bar").offsetHeight`) {
				t.Errorf("%s on %d: what has the focus may be under the bar", page.name, width) // 2.4.11
			}
			if wide := eval[int64](root, `document.scrollingElement.scrollWidth`); wide > width {
				t.Errorf("%s is %d wide on %d: %s", page.name, wide, width, eval[string](root,
					`[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest(".scroll")).map((e) => e.outerHTML.slice(0, 200)).join("\n")`))
			}
		}
	}
	root.expect("404") // of the page that is not there
	out := h.open(h.base)
	out.visit("/sign-in")
	for _, scheme := range []string{"light", "dark"} {
		out.scheme(scheme)
		out.accessible("sign-in, "+scheme, source)
	}
}
