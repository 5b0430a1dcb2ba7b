package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// browserPath is Chromium, as Debian installs it.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("there is no chromium, and CI may not do without")
	}
	t.Skip("no browser: apt-get install chromium")
	return ""
}

// browser is a real one. Those who sit at it share nothing but the program.
type browser struct {
	t   *testing.T
	ctx context.Context
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	// As root Chromium has no sandbox. It shall look nothing up elsewhere.
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(browserPath(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("lang", "en"), chromedp.UserDataDir(t.TempDir()))
	// It outlives the test's context, so that a failed test can show what was on the page.
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	return &browser{t, ctx}
}

// tab is a page of somebody at the browser, with cookies of their own.
type tab struct {
	t     *testing.T
	ctx   context.Context
	base  string // of the panel
	close func()

	mu       sync.Mutex
	problems []string // errors of scripts, and what the policy of contents refused
	excused  string   // what a problem may say, since the test asks for trouble; "": nothing
}

// open gives somebody a tab at the panel. At the end it must have seen no error.
func (b *browser) open(base string) *tab {
	b.t.Helper()
	return newTab(b.ctx, b.t, base, chromedp.WithNewBrowserContext())
}

// another is one more tab of the same person.
func (p *tab) another(path string) *tab {
	p.t.Helper()
	q := newTab(p.ctx, p.t, p.base)
	q.visit(path)
	return q
}

func newTab(parent context.Context, t *testing.T, base string, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	p := &tab{t: t, ctx: ctx, base: base}
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of the first call
		t.Fatalf("open a tab: %v", err)
	}
	p.do(chromedp.EmulateViewport(1280, 900))
	ended := make(chan struct{})
	console := chromedp.Console(ctx)
	go func() { // ends with the tab, which waits for it
		defer close(ended)
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleException {
				p.heard(m.String() + " " + m.URL)
			}
		}
	}()
	p.close = sync.OnceFunc(func() {
		if t.Failed() {
			p.picture(filepath.Join(os.TempDir(), "presencebridge-failed-"+strings.ReplaceAll(t.Name(), "/", "-")+".png"))
		}
		cancel()
		<-ended
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, problem := range p.problems {
			t.Errorf("the browser says: %s", problem)
		}
	})
	t.Cleanup(p.close)
	return p
}

func (p *tab) heard(problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.excused == "" || !strings.Contains(problem, p.excused) {
		p.problems = append(p.problems, problem)
	}
}

// excuse is said before what may be refused any number of times, at any later time too:
// the browser tells of a failed request when it likes.
func (p *tab) excuse(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.excused = text
}

// expect takes a problem away that was to be expected.
func (p *tab) expect(text string) {
	p.t.Helper()
	pbxtest.Eventually(p.t, patience, "the browser says "+text, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		i := slices.IndexFunc(p.problems, func(s string) bool { return strings.Contains(s, text) })
		if i >= 0 {
			p.problems = slices.Delete(p.problems, i, i+1)
		}
		return i >= 0
	})
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("in the browser: %v\n%s", err, p.text())
	}
}

func (p *tab) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base + path))
}

// eval is the value of an expression in the page, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// sees waits until an expression is true in the page, which may be another one by then.
func (p *tab) sees(what, expression string) {
	p.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		yes, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		switch {
		case err == nil && yes:
			return
		case time.Now().After(end):
			p.t.Fatalf("does not see %s: %v\n%s", what, err, p.text())
		}
	}
}

// text is what the page says, for a failed test.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// tabTo presses Tab until what has the focus matches a selector.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 80 {
		if eval[bool](p, fmt.Sprintf("!!document.activeElement?.matches(%s)", quoteJS(selector))) {
			return
		}
		p.press(kb.Tab)
	}
	p.t.Fatalf("Tab does not lead to %s\n%s", selector, p.text())
}

func quoteJS(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// scheme makes the page light or dark.
func (p *tab) scheme(value string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// picture writes what the tab shows.
func (p *tab) picture(path string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		p.t.Logf("no picture: %v", err)
	}
}
