package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	if os.Getenv(naiveVariable) != "" { // this process is the naive listener of a test
		listenNaively(strings.Fields(os.Getenv(naiveVariable)))
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's toxics tell the global logger of every interruption
	goleak.VerifyTestMain(m, slices.Concat(pbxtest.LeakOptions(), wireLeaks(), []goleak.Option{goleak.Cleanup(func(code int) {
		removeProgram()
		os.Exit(code)
	})})...)
}

// console is a Main whose output can be read while it runs.
type console struct {
	Main
	out, err lockedBuffer
}

func newConsole(args ...string) *console {
	c := &console{}
	c.Main = Main{
		Args: args, In: strings.NewReader(""), Out: &c.out, Err: &c.err,
		Env: func(string) string { return "" }, Now: func() time.Time { return apitest.Now }, Zone: time.UTC,
		Open: openService, Notify: func(string) {}, Terminal: func() (int, int, error) { return 0, 0, errors.New("a pipe") },
	}
	return c
}

// onTerminal gives the console a screen.
func (c *console) onTerminal(width, height int) *console {
	c.Terminal = func() (int, int, error) { return width, height, nil }
	return c
}

// folder is a folder whose path is short enough for a socket.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve puts b behind a unix socket until the test ends or stop is called.
func serve(t *testing.T, b api.Bridge, path string) (stop func()) {
	t.Helper()
	s, err := api.Listen(t.Context(), path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return apitest.Now }
	tokens, err := api.OpenTokens(t.Context(), apitest.NewStore(), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx, api.New(b, api.Options{Tokens: tokens, Mapping: apitest.NewMapping(), Accounts: apitest.NewAccounts(), Now: now})); err != nil {
			t.Error(err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// eventually waits for what a running command does.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	pbxtest.Eventually(t, patience, what, done)
}

func TestCommandsPrintWhatTheGoldenFilesSay(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    string
		prepare func(*apitest.Bridge, *console)
	}{
		{name: "status", args: "status"},
		{name: "status-colour", args: "status", prepare: func(_ *apitest.Bridge, c *console) { c.onTerminal(110, 30) }},
		{name: "status-narrow", args: "status", prepare: func(_ *apitest.Bridge, c *console) { c.onTerminal(48, 30) }},
		{name: "status-no-colour", args: "status alice", prepare: func(_ *apitest.Bridge, c *console) {
			c.onTerminal(80, 30).Env = func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] }
		}},
		{name: "status-json", args: "status --json"},
		{name: "status-with-concerns", args: "status", prepare: func(b *apitest.Bridge, _ *console) {
			b.Reasons = []bridge.Reason{apitest.Reason("PBX branch: connection refused; is it running?")}
			b.Reloaded = bridge.Reloads{Failed: 1, Fault: errors.New("mapping.yaml:3: users: a fault: mend it\nmapping.yaml:9: another"), At: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)}
		}},
		{name: "status-alice", args: "status alice"},
		{name: "status-alice-json", args: "status alice --json"},
		{name: "status-carol", args: "status carol"},
		{name: "status-hostile", args: "status eve/../x"},
		{name: "status-odd", args: "status", prepare: func(b *apitest.Bridge, _ *console) {
			u := apitest.Users()[1]
			u.Status.Removed, u.Status.Stale, u.Status.Base, u.Status.Since = true, true, presence.Offline, apitest.Now.Add(-50*time.Hour)
			b.Put(u)
			u = apitest.Users()[0]
			u.Status.Base = presence.InCall
			u.Status.Since = apitest.Now
			b.Put(u)
		}},
		{name: "status-unknown", args: "status alcie"},
		{name: "set", args: "set alice dnd --message Busy --until 14:00"},
		{name: "set-never", args: "set alice lunch --until never"},
		{name: "set-label", args: "set alice training --label Wine"},
		{name: "set-json", args: "set alice dnd --json"},
		{name: "set-overruled", args: "set bob lunch"},
		{name: "set-unknown-status", args: "set bob lunsh"},
		{name: "set-bad-until", args: "set bob lunch --until soon"},
		{name: "explain-alice", args: "explain alice"},
		{name: "explain-bob", args: "explain bob"},
		{name: "explain-carol", args: "explain carol"},
		{name: "explain-call", args: "explain dave"},
		{name: "status-call", args: "status dave"},
		{name: "explain-nothing", args: "explain eve/../x"},
		{name: "explain-held", args: "explain alice", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["alice"]
			e.Rule, e.Status.Removed = presence.WonHold, true
			e.Extensions[0].Won, e.Extensions[0].Rule = false, presence.LostHold
			e.Extensions[0].Heard.As = "something new"
			e.Extensions[0].Until = presence.At(apitest.Now.Add(24 * time.Hour))
			e.Extensions[1].Wish.Sent, e.Extensions[1].Wish.Refusals = false, 1
			b.Explanations["alice"] = e
			e = b.Explanations["bob"]
			e.Status.Stale = true
		}},
		{name: "explain-fast", args: "explain alice", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["alice"]
			away := *e.Status
			away.Type = &presence.StatusType{ID: "away", Name: "Away"}
			e.Later = &presence.HeldBack{At: presence.At(apitest.Now.Add(1500 * time.Millisecond)), Status: &away}
			b.Explanations["alice"] = e
		}},
		{name: "explain-fast-nothing", args: "explain alice", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["alice"]
			e.Later = &presence.HeldBack{At: presence.At(apitest.Now)}
			b.Explanations["alice"] = e
		}},
		{name: "explain-dnd", args: "explain alice", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["alice"]
			e.Extensions[0].DND, e.Extensions[0].DNDSince = "on", presence.At(apitest.Now.Add(-time.Minute))
			e.Extensions[1].DND, e.Extensions[1].DNDStale = "off", true
			b.Explanations["alice"] = e
		}},
		{name: "explain-own", args: "explain alice", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["alice"]
			on := true
			e.Own = &presence.OwnPart{Sync: &on}
			b.Explanations["alice"] = e
		}},
		{name: "explain-own-in-vain", args: "explain carol", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["carol"]
			on := true
			e.Own = &presence.OwnPart{Sync: &on, SyncIgnored: true}
			b.Explanations["carol"] = e
		}},
		{name: "explain-absent", args: "explain dave", prepare: func(b *apitest.Bridge, _ *console) {
			e := b.Explanations["dave"]
			e.Status = &presence.Status{Type: &presence.StatusType{ID: "gone", Name: "Gone"}, Since: presence.At(apitest.Now.Add(-time.Minute)), By: "panel dave"}
			e.Phone = presence.PhonePart{State: presence.PhoneOffline, Since: e.Status.Since, Rule: presence.PhoneIgnored}
			e.Absent = &presence.AbsentPart{Since: e.Status.Since, Shows: true, Rule: presence.AbsentShows}
			b.Explanations["dave"] = e
		}},
		{name: "explain-json", args: "explain carol --json"},
		{name: "explain-unknown", args: "explain zoe"},
		{name: "history", args: "history alice"},
		{name: "history-limit", args: "history alice --limit 1"},
		{name: "history-none", args: "history bob"},
		{name: "history-json", args: "history alice --limit 1 --json"},
		{name: "history-bad-limit", args: "history alice --limit -1"},
		{name: "history-all", args: "history"},
		{name: "history-selected", args: "history --by extension --from 2026-11-22 --to today"},
		{name: "history-nothing", args: "history alice --to 7d"},
		{name: "history-unknown", args: "history alcie"},
		{name: "history-csv", args: "history --format csv"},
		{name: "history-csv-terminal", args: "history eve --format csv", prepare: func(b *apitest.Bridge, c *console) {
			c.onTerminal(80, 30)
			b.Entries = []store.Entry{{ID: 1, User: "eve", At: apitest.Now, Message: "\x1b[2J=1+1", By: "cli", Version: 1}}
		}},
		{name: "history-csv-none", args: "history bob --format csv"},
		{name: "history-lines", args: "history --format json --limit 2"},
		{name: "history-lines-none", args: "history bob --format json"},
		{name: "history-bad-time", args: "history --from lunch"},
		{name: "history-bad-order", args: "history --from today --to 2026-11-01"},
		{name: "history-bad-format", args: "history --format xml"},
		{name: "audit-selected", args: "audit --by cli --from 7d"},
		{name: "audit-csv", args: "audit --format csv"},
		{name: "audit-nothing", args: "audit --by panel"},
		{name: "reload", args: "reload"},
		{name: "reload-faults", args: "reload", prepare: func(b *apitest.Bridge, _ *console) {
			b.ReloadErr = apitest.Faults{"mapping.yaml:3: sync.incoming: unknown: use latest", "mapping.yaml:9: users: twice: remove one"}
		}},
		{name: "token-list", args: "token list"},
		{name: "token-list-json", args: "token list --json"},
		{name: "token-revoke", args: "token revoke crm"},
		{name: "token-unknown", args: "token revoke crn"},
		{name: "token-twice", args: "token new crm"},
		{name: "token-unknown-user", args: "token new phone --scope own --user alcie"},
		{name: "token-no-user", args: "token new phone --scope own"},
		{name: "token-scope", args: "token new phone --scope write"},
		{name: "token-expires", args: "token new phone --expires soon"},
		{name: "token-what", args: "token nwe phone"},
		{name: "token", args: "token"},
		{name: "admin", args: "admin"},
		{name: "admin-invite", args: "admin invite --role administrator"},
		{name: "admin-invite-name", args: "admin invite --user bob --rights create,delete bob"},
		{name: "admin-invite-json", args: "admin invite --role operator --json"},
		{name: "admin-list", args: "admin list"},
		{name: "admin-list-json", args: "admin list --json"},
		{name: "admin-role", args: "admin role crm user"},
		{name: "admin-role-more", args: "admin role crm user --user bob --rights create,delete"},
		{name: "admin-disable", args: "admin disable crm"},
		{name: "admin-enable", args: "admin enable crm"},
		{name: "admin-reset", args: "admin reset crm"},
		{name: "admin-sign-out", args: "admin sign-out crm"},
		{name: "admin-remove", args: "admin remove crm"},
		{name: "admin-unknown", args: "admin disable rot"},
		{name: "complete-account", args: "__complete admin disable c"},
		{name: "complete-token", args: "__complete token revoke c"},
		{name: "user", args: "user"},
		{name: "user-list", args: "user list"},
		{name: "user-list-json", args: "user list --json"},
		{name: "user-add", args: "user add zoe --extension 1009 --extension branch/2009"},
		{name: "user-add-twice", args: "user add alice --extension 1001"},
		{name: "user-set", args: "user set alice --tag vip"},
		{name: "user-set-unknown", args: "user set zoe --tag vip"},
		{name: "user-remove", args: "user remove alice"},
		{name: "user-remove-unknown", args: "user remove zoe"},
		{name: "user-export", args: "user export"},
		{name: "user-import", args: "user import -", prepare: func(_ *apitest.Bridge, c *console) {
			c.In = strings.NewReader("id,name\nzoe,Zoe\nbob,Bobby\n")
		}},
		{name: "user-import-dry", args: "user import - --dry-run", prepare: func(_ *apitest.Bridge, c *console) { c.In = strings.NewReader("id,name\nzoe,Zoe\n") }},
		{name: "user-import-form", args: "user import -", prepare: func(_ *apitest.Bridge, c *console) {
			c.In = strings.NewReader("id,name\nzoe,Zoe,1\nyan,Yan\nxia\nwu,\"W\"u\n")
		}},
		{name: "user-import-columns", args: "user import -", prepare: func(_ *apitest.Bridge, c *console) { c.In = strings.NewReader("id,e-mail\nzoe,z@x\n") }},
		{name: "user-import-nothing", args: "user import WHERE"},
		{name: "audit", args: "audit"},
		{name: "audit-json", args: "audit --limit 1 --json"},
		{name: "audit-limit", args: "audit --limit 1"},
		{name: "complete-user", args: "__complete status al"},
		{name: "complete-no-more", args: "__complete status alice b"},
		{name: "complete-status", args: "__complete set alice d"},
		{name: "wrong-command", args: "statsu"},
		{name: "wrong-flag", args: "status --jsno"},
		{name: "wrong-arguments", args: "set alice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			socket := filepath.Join(folder(t), "s")
			b := apitest.New()
			c := newConsole(append(strings.Fields(tc.args), "--socket", socket)...)
			if strings.HasPrefix(tc.args, "__complete") {
				c.Args = append([]string{"--socket", socket}, strings.Fields(tc.args)...)
			}
			if tc.prepare != nil {
				tc.prepare(b, c)
			}
			serve(t, b, socket)
			c.golden(t, tc.name, tc.args, socket)
		})
	}
}

// golden runs the command and compares all it said with a file; where is written
// as WHERE there.
func (c *console) golden(t *testing.T, name, args, where string) {
	t.Helper()
	code := c.Run(t.Context())
	got := fmt.Sprintf("$ presencebridge %s\n%s%s[exit code %d]\n", args, c.out.String(), c.err.String(), code)
	got = strings.ReplaceAll(strings.ReplaceAll(got, where, "WHERE"), "\x1b", "␛")
	if who, err := user.Current(); err == nil { // the audit log names who runs the tests
		got = strings.ReplaceAll(got, "cli of "+who.Username, "cli of WHO")
	}
	path := filepath.Join("../../testdata/cmd", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run go test -update", err)
	}
	if !bytes.Equal([]byte(got), want) {
		t.Errorf("%s differs, got:\n%s", path, got)
	}
}

func TestCheckPrintsEveryFault(t *testing.T) {
	const daemon = "pbx: [{name: main, ami: {address: \"127.0.0.1:5038\", username: u, secret_file: secret}}]\n"
	const mapping = `sync: {incoming: latest, outgoing: all}
statuses: [{id: available, base: connected, asterisk: available}]
users: [{id: alice, extensions: ["1001"]}]
`
	for _, tc := range []struct{ name, args, daemon, mapping string }{
		{"check-clean", "check", daemon, mapping},
		{"check-clean-json", "check --json", daemon, mapping},
		{"check-warning", "check", daemon, strings.Replace(mapping, "latest", "priority", 1)},
		{"check-errors", "check", strings.Replace(daemon, "username", "usrname", 1), strings.Replace(mapping, "latest", "newest", 1)},
		{"check-stored", "check", daemon, strings.Replace(mapping, `[{id: alice, extensions: ["1001"]}]`, "{from: store}", 1)},
		{"check-errors-json", "check --json", daemon, strings.Replace(mapping, "latest", "newest", 1)},
		{"run-errors", "run", daemon, strings.Replace(mapping, "latest", "newest", 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := writeConfig(t, tc.daemon, tc.mapping)
			newConsole(append(strings.Fields(tc.args), "--config", filepath.Join(dir, "presencebridge.yaml"))...).golden(t, tc.name, tc.args, dir)
		})
	}
}

func writeConfig(t *testing.T, daemon, mapping string) (dir string) {
	t.Helper()
	dir = folder(t)
	for name, text := range map[string]string{"presencebridge.yaml": daemon, "mapping.yaml": mapping, "secret": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWithoutAConfigurationEveryCommandSaysWhatToDo(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range []string{"check", "run", "status", "status --watch", "reload", "set alice lunch", "explain alice", "history alice"} {
		c := newConsole(strings.Fields(args)...)
		if code := c.Run(t.Context()); code != exitWrong || !strings.Contains(c.err.String(), "--config FILE") {
			t.Errorf("%s: exit code %d, %q", args, code, c.err.String())
		}
	}
	c := newConsole("__complete", "status", "")
	if code := c.Run(t.Context()); code != exitDone || !strings.HasPrefix(c.out.String(), ":") {
		t.Errorf("completion without a bridge: exit code %d, %q", code, c.out.String())
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	for _, c := range newConsole().root().Commands() {
		if c.Example == "" || c.Short == "" || !strings.Contains(c.Example, "presencebridge "+c.Name()) {
			t.Errorf("%s: example %q", c.Name(), c.Example)
		}
	}
}

func TestVersionComesFromTheBuild(t *testing.T) {
	c := newConsole("version")
	if code := c.Run(t.Context()); code != exitDone || !strings.HasPrefix(c.out.String(), "presencebridge ") {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
	c = newConsole("version", "--json")
	if code := c.Run(t.Context()); code != exitDone || !strings.Contains(c.out.String(), `"go": "go`) {
		t.Errorf("exit code %d, %q", code, c.out.String())
	}
}
