package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func TestAMessageForOneIsNotOfferedForAnother(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice := h.enter("alice", "--user", "alice")
	eval[bool](alice, `import(document.querySelector("link[rel=stylesheet]").href.replace("panel.css", "choose.js")).then(({choose}) => choose("bob")).then(() => true)`)
	alice.do(chromedp.SendKeys(chromedp.CSS("#choose [name=message]"), "Ill since Monday"), chromedp.SetValue(chromedp.CSS("#choose [name=until]"), "30"),
		chromedp.Click(chromedp.CSS("#choose [value=cancel]")), chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")))
	if got := eval[string](alice, `document.querySelector("#choose [name=message]").value + document.querySelector("#choose [name=until]").value`); got != "" {
		t.Errorf("offered is %q", got)
	}
	alice.do(chromedp.SendKeys(chromedp.CSS("#choose [name=message]"), "Room 5"), chromedp.Click(chromedp.CSS("#choose [value=cancel]")),
		chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")))
	alice.sees("what was typed for the same one", `document.querySelector("#choose [name=message]").value === "Room 5"`)
}

func TestAReturnTimeThatIsNotWrittenIsNotLeftOut(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice := h.enter("alice", "--user", "alice")
	alice.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")),
		chromedp.SetValue(chromedp.CSS("#choose [name=until]"), "at"), chromedp.SetValue(chromedp.CSS("#choose [name=at]"), ""),
		chromedp.Click(chromedp.CSS("#choose [type=submit]")))
	alice.sees("what is missing", `document.querySelector("#choose [role=alert]").textContent.startsWith("Write the day and the time")`)
	alice.sees("where", `document.activeElement.name === "at"`)
	if s := h.user("alice").Status; s != nil && s.Type == "lunch" {
		t.Errorf("alice is %+v", s)
	}
}

func TestUndoKeepsWhatIsNotSaved(t *testing.T) {
	browserPath(t)
	h := startHouse(t, byPriority, pbxtest.NewSimulated(t, pbxtest.Options{}))
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.visit("/sync")
	root.sees("the types", `document.querySelectorAll("#types tbody tr").length === 6`)
	root.do(chromedp.Click(chromedp.CSS("[name=outgoing][value=all]")), chromedp.Click(chromedp.CSS("#save")))
	root.sees("that it is saved, where the focus is", `document.activeElement.id === "done" && document.getElementById("done").textContent === "Saved, and in force."`)
	root.do(chromedp.Click(chromedp.CSS("[name=repeats][value=count]")), chromedp.Click(chromedp.CSS("#undo")))
	root.sees("what was before", `document.querySelector("[name=outgoing][value=default]").checked`)
	root.sees("what is not saved", `document.querySelector("[name=repeats][value=count]").checked && document.querySelector("#pending p").textContent === "1 change is not saved"`)
	root.do(chromedp.Click(chromedp.CSS("#discard")))
}

// The page offers what the bridge would not refuse.
func TestWhoMayOnlyMakeStatusTypesIsOfferedThatAlone(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	maker := h.enter("maker", "--rights", "create")
	maker.visit("/sync")
	maker.sees("the types", `document.querySelectorAll("#types tbody tr").length === 6`)
	offered := eval[string](maker, `[...document.querySelectorAll("main :is(input, button, select):enabled")].filter((e) => e.checkVisibility()).map((e) => e.id || e.name || e.textContent).join(" ")`)
	if want := "find new" + strings.Repeat(" Duplicate History", 6); offered != want {
		t.Errorf("offered: %s, want %s", offered, want)
	}
	if eval[bool](maker, `!!document.querySelector("#priority [draggable=true]")`) {
		t.Error("lines can be dragged")
	}
	maker.do(chromedp.Click(chromedp.CSS("#new")), chromedp.SendKeys(chromedp.CSS("#edit [name=name]"), "Homeoffice"), chromedp.Click(chromedp.CSS("#edit [type=submit]")), chromedp.Click(chromedp.CSS("#save")))
	maker.sees("that it is saved", `document.getElementById("done").textContent === "Saved, and in force."`)
}

// Who works with the keyboard goes on where they were.
func TestTheFocusStaysWhenAListIsMadeAnew(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.visit("/sync")
	root.tabTo(`#types [aria-label="Edit: Lunch"]`)
	root.press(kb.Enter)
	root.sees("the dialog", `document.getElementById("edit").open`)
	root.press("x", kb.Enter)
	root.sees("the new name", `document.getElementById("types").textContent.includes("x")`)
	root.sees("the focus on the same button", `document.activeElement.closest("tr")?.textContent.includes("lunch")`)
	root.do(chromedp.Click(chromedp.CSS("#discard")))
	root.visit("/accounts")
	root.tabTo(`#accounts [aria-label="Edit: root"]`)
	root.press(kb.Enter)
	root.sees("the dialog", `document.getElementById("change").open`)
	root.do(chromedp.Click(chromedp.CSS("#change [type=submit]")))
	root.sees("the focus on the same button", `!document.getElementById("change").open && document.activeElement.getAttribute("aria-label") === "Edit: root"`)
}

func TestWhatAnotherAdministratorChangedOfAnAccountStays(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	h.enter("mallory", "--role", "operator").close() // a page of theirs would complain that it is signed out
	root.visit("/accounts")
	root.do(chromedp.Click(chromedp.CSS(`#accounts [aria-label="Edit: mallory"]`)), chromedp.WaitVisible(chromedp.CSS("#change")))
	h.must("admin", "disable", "mallory")
	root.do(chromedp.SendKeys(chromedp.CSS("#change [name=user]"), "bob"), chromedp.Click(chromedp.CSS("#change [type=submit]")))
	root.sees("both changes", `[...document.querySelectorAll("#accounts tr")].some((tr) => /mallory.*disabled.*bob/s.test(tr.textContent))`)
}

// Two tabs of one person star two people: neither takes the other's away.
func TestFavouritesOfTwoTabsAreKept(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	one := h.enter("alice", "--user", "alice")
	two := one.another("/")
	two.sees("the board", `document.querySelectorAll("#people li").length === 4`)
	pressed := func(user string) string {
		return row(user) + `.querySelector(".star").getAttribute("aria-pressed") === "true"`
	}
	one.do(chromedp.Click(chromedp.CSS(`#people li:nth-child(4) .star`))) // dave
	two.sees("what the other tab starred", pressed("dave"))
	two.do(chromedp.Click(chromedp.CSS(`#people li:nth-child(4) .star`))) // carol, now that dave is first
	one.sees("both", pressed("dave")+"&&"+pressed("carol"))
	one.visit("/")
	one.sees("both, still", `document.querySelectorAll("#people li").length === 4 && `+pressed("dave")+"&&"+pressed("carol"))
}

func TestASessionThatEndsKeepsWhatIsTypedInADialog(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice := h.enter("alice", "--user", "alice")
	alice.do(chromedp.Click(chromedp.CSS("#mine")), chromedp.WaitVisible(chromedp.CSS("#choose")), chromedp.Click(chromedp.CSS("#choose [value=lunch]")),
		chromedp.SendKeys(chromedp.CSS("#choose [name=message]"), "with a long explanation"))
	alice.excuse("401")                                                                            // meanwhile
	eval[bool](alice, `fetch("/sign-out", {method: "POST", redirect: "manual"}).then(() => true)`) // as another tab would
	alice.do(chromedp.Click(chromedp.CSS("#choose [type=submit]")))
	alice.sees("why it was not set, and what was typed", `document.querySelector("#choose [role=alert]").textContent.includes("no longer signed in") && document.querySelector("#choose [name=message]").value === "with a long explanation"`)
	alice.another("/sign-in").do(chromedp.SendKeys(chromedp.CSS("[name=name]"), "alice"), chromedp.SendKeys(chromedp.CSS("[name=password]"), password+kb.Enter), chromedp.WaitVisible(chromedp.CSS("#people")))
	alice.do(chromedp.Click(chromedp.CSS("#choose [type=submit]")))
	alice.sees("the status, once signed in again", rowShows("alice", "message", "with a long explanation"))
}

func TestAnAccountIsDeletedOnlyWhenThatIsSaidTwice(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	root := h.enter("root", "--role", "administrator")
	h.enter("bob", "--user", "bob")
	root.visit("/accounts")
	const bob = `[...document.querySelectorAll("#accounts tbody tr")].find((tr) => tr.textContent.startsWith("bob"))`
	root.sees("bob", bob)
	for i, answer := range []string{"no", "yes"} {
		eval[bool](root, bob+`.querySelector(".row-actions button:last-child").click() ?? true`)
		root.do(chromedp.WaitVisible(chromedp.CSS("#sure")), chromedp.Click(chromedp.CSS("#sure [value="+answer+"]")))
		root.sees("the answer heeded", fmt.Sprintf(`!document.getElementById("sure").open && !!%s === %v`, bob, i == 0))
	}
}
