package signin_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/signin"
)

// device is the cookie by which a browser is known, in which one person has signed in.
func (b *browser) device() *http.Cookie {
	b.Helper()
	for name, c := range b.cookies {
		if strings.Contains(name, "presencebridge-device-") {
			return c
		}
	}
	b.Fatal("the browser has no cookie of a device")
	return nil
}

// wrong fails to sign in as somebody so many times, and returns how it was answered last.
func (b *browser) wrong(name string, times int) (status int) {
	for range times {
		status = b.signIn(name, "a wrong password").Code
	}
	return status
}

func (b *browser) mustSignIn(name string) {
	b.Helper()
	b.post("/sign-out", url.Values{})
	if w := b.signIn(name, good); b.is() != name {
		b.Errorf("%s is kept out: %d %s", name, w.Code, w.Header().Get("X-Message"))
	}
}

func TestNobodyIsKeptOutByOthersInTheSameNetwork(t *testing.T) {
	o := newOffice(t, nil)
	alice, mallory := o.has("alice", "user"), o.browser("192.0.2.1")
	if status := mallory.wrong("alice", 9); status != http.StatusTooManyRequests {
		t.Fatalf("the ninth failure: %d", status)
	}
	alice.mustSignIn("alice")
	for i := range 60 {
		mallory.wrong(fmt.Sprint("user", i), 1)
	}
	if status := mallory.wrong("another", 1); status != http.StatusTooManyRequests {
		t.Fatalf("the network is not slowed down: %d", status)
	}
	alice.mustSignIn("alice")
	o.again()
	if status := o.browser("192.0.2.1").wrong("alice", 9); status != http.StatusTooManyRequests {
		t.Fatalf("after a restart: %d", status)
	}
	alice.office = o
	alice.mustSignIn("alice")
}

// What a thief of the cookie has is eight tries, and one more a minute.
func TestADeviceIsSlowedDownByItself(t *testing.T) {
	o := newOffice(t, nil)
	alice, thief := o.has("alice", "user"), o.browser("192.0.2.1")
	stolen := alice.device()
	thief.cookies[stolen.Name] = stolen
	alice.mustSignIn("alice")
	if alice.device().Value == stolen.Value {
		t.Error("the device keeps its name")
	}
	if first, last := thief.wrong("alice", 8), thief.wrong("alice", 1); first != http.StatusUnauthorized || last != http.StatusTooManyRequests {
		t.Errorf("the eighth failure %d, the ninth %d", first, last)
	}
	thief.address = "198.51.100.7"
	thief.saw(thief.signIn("alice", good), http.StatusTooManyRequests, "signin.too_often")
	alice.mustSignIn("alice")
	if w := o.browser("192.0.2.1").signIn("alice", good); w.Code != http.StatusSeeOther {
		t.Errorf("who has no device is kept out by one: %d", w.Code)
	}
}

func TestADeviceIsOfOneAccountAndOnePasswordForAWhile(t *testing.T) {
	for name, change := range map[string]func(*office, *browser, *http.Cookie){
		"of another account": func(o *office, b *browser, c *http.Cookie) {
			bob := o.has("bob", "user").device()
			b.cookies[c.Name] = &http.Cookie{Name: c.Name, Value: bob.Value}
		},
		"changed":       func(_ *office, b *browser, c *http.Cookie) { c.Value = flip(c.Value) },
		"cut short":     func(_ *office, b *browser, c *http.Cookie) { c.Value = c.Value[:len(c.Value)-1] },
		"empty":         func(_ *office, b *browser, c *http.Cookie) { c.Value = "" },
		"old":           func(o *office, _ *browser, _ *http.Cookie) { o.pass(90*24*time.Hour + time.Second) },
		"of a password": func(o *office, _ *browser, _ *http.Cookie) { o.chooses("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, nil)
			b := o.has("alice", "user")
			change(o, b, b.device())
			o.browser("192.0.2.1").wrong("alice", 9)
			b.saw(b.signIn("alice", good), http.StatusTooManyRequests, "signin.too_often")
		})
	}
}

func flip(text string) string {
	if text[0] == 'A' {
		return "B" + text[1:]
	}
	return "A" + text[1:]
}

// chooses has somebody choose the same password again in another browser, which makes another hash of it.
func (o *office) chooses(name string) {
	o.Helper()
	b := o.browser("203.0.113.1")
	b.signIn(name, good)
	b.saw(b.post("/account/password", url.Values{"old": {good}, "password": {good}, "again": {good}}), http.StatusOK, "")
	for range 9 { // that browser stays known
		o.browser("203.0.113.1").wrong(name, 1)
	}
	b.mustSignIn(name)
}

func TestTheCookieOfADeviceStaysWithTheBrowserAndTheHost(t *testing.T) {
	for at, secure := range map[string]bool{"https://panel.example": true, "http://localhost:8080": false} {
		o := newOffice(t, func(c *signin.Config) { c.URL, _ = url.Parse(at) })
		c := o.has("alice", "user").device()
		if strings.HasPrefix(c.Name, "__Host-") != secure || c.Secure != secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 90*24*60*60 {
			t.Errorf("%s: %+v", at, c)
		}
		if strings.Contains(c.Name+c.Value, "alice") {
			t.Errorf("it tells whose it is: %+v", c)
		}
	}
}

func TestAProxyThatNobodyTrustsIsToldOnceAnHour(t *testing.T) {
	o := newOffice(t, func(c *signin.Config) { c.TrustedProxies = signin.Prefixes("10.0.0.0/8") })
	told := func() int { return o.logs.FilterMessageSnippet("http.trusted_proxies").Len() }
	b := o.browser("10.1.1.1")
	b.header.Set("X-Forwarded-For", "198.51.100.1")
	b.wrong("alice", 1)
	if n := told() + len(o.Warnings()); n != 0 {
		t.Errorf("told %d times of one that is trusted", n)
	}
	b.address = "127.0.0.1"
	b.wrong("alice", 3)
	if n := told(); n != 1 {
		t.Errorf("told %d times", n)
	}
	if w := o.Warnings(); len(w) != 1 || !strings.Contains(w[0].Text, "127.0.0.1") || !strings.Contains(w[0].Text, "http.trusted_proxies") || w[0].Params["peer"] != "127.0.0.1" {
		t.Errorf("the bridge says %+v", w)
	}
	o.pass(time.Hour)
	if w := o.Warnings(); len(w) != 0 {
		t.Errorf("an hour later it still says %+v", w)
	}
	b.get("/sign-in") // nobody has to fail for it
	if n := told(); n != 2 {
		t.Errorf("told %d times after an hour", n)
	}
}

// A stranger can send any header, but an address of the connection is his own, and must
// neither be named nor take the place of the proxy's.
func TestWhoOnlyInventsTheHeaderOfAProxyIsNotTakenForOne(t *testing.T) {
	o := newOffice(t, nil)
	named := func() string {
		var all []string
		for _, w := range o.Warnings() {
			all = append(all, w.Params["peer"])
		}
		return strings.Join(all, ", ")
	}
	stranger := o.browser("203.0.113.9")
	stranger.header.Set("X-Forwarded-For", "198.51.100.1, 127.0.0.1")
	stranger.get("/sign-in")
	stranger.wrong("alice", 2)
	if got, told := named(), o.logs.FilterMessageSnippet("http.trusted_proxies").Len(); got != "" || told != 0 {
		t.Errorf("the bridge names %q, and the log was told %d times", got, told)
	}
	alice := o.has("alice", "user")
	alice.address = "10.0.0.7"
	alice.header.Set("X-Forwarded-For", "198.51.100.2")
	alice.get("/")
	if got := named(); got != "10.0.0.7" {
		t.Errorf("the bridge names %q", got)
	}
	stranger.get("/sign-in")
	if got := named(); got != "10.0.0.7" {
		t.Errorf("then it names %q", got)
	}
}
