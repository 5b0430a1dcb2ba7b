package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	permissions "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// again lets somebody who has an account sign in in one more browser.
func (h *house) again(name string) *tab {
	h.running.t.Helper()
	p := h.open(h.base)
	p.visit("/sign-in")
	p.do(chromedp.SendKeys(chromedp.CSS("[name=name]"), name), chromedp.SendKeys(chromedp.CSS("[name=password]"), password+kb.Enter))
	p.sees("the board", `document.getElementById("people")?.children.length > 0 && document.getElementById("live").dataset.state === "on"`)
	return p
}

func (p *tab) permit(name, setting string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, permissions.SetPermission, permissions.SetPermissionParams{
		Permission: &permissions.PermissionDescriptor{Name: name}, Setting: permissions.PermissionSetting(setting), Origin: p.base,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
}

func TestALoginLinkIsCopiedByTheKeyboard(t *testing.T) {
	browserPath(t)
	provider, err := mockoidc.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Shutdown() })
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	h.kill()
	h.write("idp-secret", provider.Config().ClientSecret)
	text, err := os.ReadFile(filepath.Join(h.dir, "presencebridge.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	h.write("presencebridge.yaml", strings.Replace(string(text), fmt.Sprintf("sign_in: {url: %q}", h.base), fmt.Sprintf(
		"sign_in: {url: %q, providers: [{name: idp, title: Our company, issuer: %q, client_id: %s, client_secret_file: idp-secret}]}", h.base, provider.Issuer(), provider.Config().ClientID), 1))
	h.startReady()
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.permit("clipboard-read", "granted")
	root.permit("clipboard-write", "granted")
	root.visit("/accounts")
	root.sees("both links", `document.querySelectorAll("#links li").length === 2 && document.querySelector("#accounts tbody tr")`)
	const second = "#links li:nth-child(2) "
	want := h.base + "/sign-in/idp"
	root.tabTo(second + ".copy")
	root.press(kb.Enter)
	root.sees("that a screen reader is told", `document.querySelector("#copied[role=status]").textContent === "Copied: Our company"`)
	root.sees("the focus on the button", fmt.Sprintf(`document.activeElement === document.querySelector(%q)`, second+".copy"))
	if got := eval[string](root, `navigator.clipboard.readText()`); got != want {
		t.Errorf("%q was copied, want %q", got, want)
	}

	// Where the browser refuses, or has no clipboard, as without TLS.
	for _, clipboard := range []string{`{writeText: () => Promise.reject(new Error("no"))}`, `undefined`} {
		root.visit("/accounts")
		root.sees("both links", `document.querySelectorAll("#links li").length === 2`)
		eval[bool](root, fmt.Sprintf(`Object.defineProperty(navigator, "clipboard", {value: %s, configurable: true}); true`, clipboard))
		root.tabTo(second + ".copy")
		root.press(kb.Enter)
		root.sees("what to press", `document.getElementById("copied").textContent.includes("press Ctrl and C")`)
		root.sees("the link selected", fmt.Sprintf(`(() => { const i = document.querySelector(%q); return document.activeElement === i && i.selectionStart === 0 && i.selectionEnd === i.value.length && i.value === %q; })()`, second+"input", want))
	}

	// What was copied leads there.
	out := h.open(h.base)
	out.excuse("403")
	provider.QueueUser(&mockoidc.MockUser{Subject: "1", Email: "nobody@example.com", EmailVerified: true})
	out.do(chromedp.Navigate(want))
	out.sees("what the provider says", reads("[role=alert]", "no user of this panel is called so"))
}

func TestSomebodyIsSignedOutEverywhere(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice, root := h.enter("alice", "--user", "alice"), h.enter("root", "--role", "administrator", "--user", "carol")
	other := h.again("alice")
	for _, p := range []*tab{alice, other, root} {
		p.excuse("401")
	}
	const out = `location.pathname === "/sign-in" && document.querySelector("[name=password]")`
	alice.visit("/me")
	alice.tabTo("#everywhere")
	alice.press(kb.Enter)
	alice.sees("the sign-in", out)
	other.sees("the sign-in, in the other browser", out)
	root.sees("the board still", `document.getElementById("people")`)

	other = h.again("alice")
	other.excuse("401")
	root.visit("/accounts")
	const button = `#accounts button[aria-label="Sign out everywhere: alice"]`
	root.sees("alice", fmt.Sprintf(`document.querySelector(%s)`, quoteJS(button)))
	root.do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitVisible(chromedp.CSS("#sure")))
	root.sees("what will happen", reads("#sure", "alice is signed out in every browser."))
	root.do(chromedp.Click(chromedp.CSS("#sure [value=yes]")))
	root.sees("nobody to sign out", fmt.Sprintf(`document.querySelector("#accounts tbody tr") && !document.querySelector(%s)`, quoteJS(button)))
	other.sees("the sign-in", out)
	h.says(0, "audit", "signed out everywhere", "alice, sessions 1", "panel root")
	third := h.again("alice") // it is no lock
	third.excuse("401")
	h.says(0, "admin sign-out alice", "alice is signed out everywhere")
	third.sees("the sign-in", out)
}

// Two browsers of one person that each add a favourite keep both.
func TestFavouritesOfTwoBrowsersAreAllKept(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	desk := h.enter("alice", "--user", "alice")
	home := h.again("alice")
	star := func(user string) string {
		return fmt.Sprintf(`document.querySelector("#people a[href='/users/%s']")?.closest("li").querySelector(".star")`, user)
	}
	pressed := func(user string, yes bool) string {
		return fmt.Sprintf(`%s?.getAttribute("aria-pressed") === "%v"`, star(user), yes)
	}
	press := func(p *tab, user string) {
		t.Helper()
		eval[bool](p, star(user)+".click(); true")
		p.sees(user+" pressed", pressed(user, true))
	}
	kept := func(want string) {
		t.Helper()
		desk.sees("what is kept: "+want, fmt.Sprintf(`fetch("/api/v1/me/preferences").then((a) => a.text()).then((x) => { window.kept = x; }) && window.kept?.includes(%s)`, quoteJS(want)))
	}
	press(desk, "bob")
	kept(`"stars":["bob"]`)
	press(home, "carol") // which has not heard of bob
	kept(`"stars":["bob","carol"]`)
	eval[bool](desk, star("bob")+".click(); true")
	kept(`"stars":["carol"]`)
	desk.speaks("fr")
	kept(`"stars":["carol"]`)
	for _, p := range []*tab{desk, home} {
		p.visit("/")
		p.sees("the favourites of both", pressed("carol", true)+"&&"+pressed("bob", false)+`&& document.querySelector("#people li a").href.endsWith("/carol")`)
	}
}

// A proxy that is not among http.trusted_proxies is told of where an administrator looks.
func TestAProxyThatNobodyTrustsIsSeen(t *testing.T) {
	browserPath(t)
	pbx := pbxtest.NewSimulated(t, pbxtest.Options{})
	h := startHouse(t, threeMethods, pbx)
	root := h.enter("root", "--role", "administrator", "--user", "alice")
	root.visit("/health")
	root.sees("that all is well", `document.getElementById("ready").textContent === "Everything is in agreement." && !document.querySelector("#reasons li")`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.base+"/sign-in", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	w, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || w.StatusCode != http.StatusOK {
		t.Fatal(w, err)
	}
	_ = w.Body.Close()
	root.visit("/health")
	root.sees("the address of the proxy", reads("#reasons li", "X-Forwarded-For from 127.0.0.1, which is not in http.trusted_proxies"))
	root.speaks("de")
	root.visit("/health")
	root.sees("the same in German", reads("#reasons li", "Anfragen kommen mit X-Forwarded-For von 127.0.0.1"))
	h.says(1, "doctor", "http.trusted_proxies", "127.0.0.1")
	h.says(0, "status", "http.trusted_proxies")
	pbx.Stop()
	pbxtest.Eventually(t, patience, "the PBX is missed", func() bool { return h.status("/readyz") == http.StatusServiceUnavailable })
	h.says(2, "doctor", "is not ready: PBX main", "besides, requests come with X-Forwarded-For")
}
