package config

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

const statuses = `statuses:
  - {id: available, base: connected, asterisk: available}
  - {id: dnd, base: busy, asterisk: dnd}
`

func TestTextStaysWhatWasWritten(t *testing.T) {
	for _, text := range []string{"0123", "007", "1e3", "0x10", "1_000", "0o17", "1.50", "yes", "off", "true", "2026-11-22", ".inf", "12_34e5"} {
		t.Run(text, func(t *testing.T) {
			folder(t)
			write(t, "mapping.yaml", strings.ReplaceAll(`
sync: {priority: [WORD]}
statuses: [{id: WORD, base: busy, asterisk: {state: xa, subtype: WORD}}]
users: [{id: WORD, extensions: [1, WORD, {pbx: main, extension: 2}], default_extension: WORD}]
`, "WORD", text))
			user := mustLoad(t, Overrides{}).Mapping.Users[0]
			if string(user.ID) != text || user.Name != text || user.Rules.Extensions[1].Number != text || user.Rules.Default != 1 {
				t.Errorf("user = %+v %+v", user, user.Rules)
			}
			if s := user.Rules.Types.List()[0]; string(s.ID) != text || s.Name != text || s.Asterisk.Subtype != text {
				t.Errorf("status = %+v %+v", s, s.Asterisk)
			}
		})
	}
}

// An extension with a plus is a name that Asterisk cannot keep: mapping-extension-name.yaml.
func TestPlusStaysInAnID(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", statuses+"users: [{id: +49301234, extensions: [1]}]")
	if got := mustLoad(t, Overrides{}).Mapping.Users[0].ID; got != "+49301234" {
		t.Errorf("id = %q", got)
	}
}

func TestInlineSecretStaysWhatWasWritten(t *testing.T) {
	for _, text := range []string{"0123", "1e3", "+49301234", `"# & *"`, "true"} {
		t.Run(text, func(t *testing.T) {
			folder(t)
			write(t, "presencebridge.yaml", "pbx: [{name: main, ami: {address: 'localhost:1', username: u, secret: "+text+"}}]")
			if got := mustLoad(t, Overrides{}).Daemon.PBX[0].AMI.Secret.Reveal(); got != strings.Trim(text, `"`) {
				t.Errorf("secret = %q", got)
			}
		})
	}
}

func TestDefaultsOfWhatIsLeftOut(t *testing.T) {
	dir := folder(t)
	cfg := mustLoad(t, Overrides{})
	want := Daemon{
		Mapping: filepath.Join(dir, "mapping.yaml"),
		PBX:     cfg.Daemon.PBX,
		Store:   Store{Driver: "sqlite", DSN: filepath.Join(dir, "presencebridge.db"), HistoryDays: 365},
		HTTP:    HTTP{Socket: filepath.Join(dir, "presencebridge.sock"), MaxConnections: 1024},
		Log:     Log{Level: "info", Format: "json"},
	}
	if got := fmt.Sprintf("%+v", cfg.Daemon); got != fmt.Sprintf("%+v", want) {
		t.Errorf("daemon = %s\nwant %+v", got, want)
	}
	if got := cfg.Daemon.PBX[0].Presentity; got != "CustomPresence:{extension}" {
		t.Errorf("presentity = %s", got)
	}
	rules := cfg.Mapping.Users[0].Rules
	if !rules.Sync || rules.Incoming != "latest" || rules.Outgoing != "all" || rules.CountRepeats || rules.StaleAfter != 0 {
		t.Errorf("rules = %+v", rules)
	}
	if got := rules.Types.List()[0]; got.Name != "available" || got.Color != defaultColor {
		t.Errorf("status = %+v", got)
	}
}

func TestUserSettingsWinOverSync(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", "sync: {repeats: count, stale_after: 30m, priority: [available]}\n"+statuses+`users:
  - {id: plain, extensions: [1]}
  - {id: own, extensions: [2, 3], default_extension: {pbx: main, extension: 3}, incoming: default, outgoing: default, priority: [dnd], sync: false}
`)
	users := mustLoad(t, Overrides{}).Mapping.Users
	plain, own := users[0].Rules, users[1].Rules
	if !plain.CountRepeats || plain.StaleAfter.Minutes() != 30 || !plain.Sync || plain.Ranks["available"] != 0 {
		t.Errorf("plain = %+v", plain)
	}
	if own.Incoming != "default" || own.Outgoing != "default" || own.Sync || own.Default != 1 || own.Ranks["dnd"] != 0 || !own.CountRepeats {
		t.Errorf("own = %+v", own)
	}
}

func TestReturnTimesAreRead(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", `sync: {until_text: "until {time}"}
statuses: [{id: lunch, base: absent, asterisk: away, lasts: 1h30m}, {id: away, base: absent}]
users: [{id: a, extensions: [1]}]`)
	r := mustLoad(t, Overrides{}).Mapping.Users[0].Rules
	if list := r.Types.List(); list[0].Lasts != 90*time.Minute || list[1].Lasts != 0 {
		t.Errorf("types = %+v", list)
	}
	if r.UntilText != "until {time}" || r.Zone != time.Local {
		t.Errorf("until_text = %q in %v", r.UntilText, r.Zone)
	}
}

func TestSyncSwitchedOffIsOffForEverybody(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", "sync: {enabled: false}\n"+statuses+"users: [{id: a, sync: true, extensions: [1]}]")
	if r := mustLoad(t, Overrides{}).Mapping.Users[0].Rules; r.Sync || !r.Off {
		t.Error("a user is synchronised although sync.enabled is false, or may be")
	}
	write(t, "mapping.yaml", statuses+"users: [{id: a, sync: false, extensions: [1]}]")
	if r := mustLoad(t, Overrides{}).Mapping.Users[0].Rules; r.Sync || r.Off {
		t.Error("a user of sync: false is synchronised, or may not be")
	}
}

func TestUsersShareWhatIsEqual(t *testing.T) {
	folder(t)
	var b strings.Builder
	b.WriteString(statuses + "users:\n")
	const users = 20_000
	for i := range users {
		fmt.Fprintf(&b, "  - {id: user%d, extensions: [%d], priority: [dnd]}\n", i, 100000+i)
	}
	write(t, "mapping.yaml", b.String())
	cfg := mustLoad(t, Overrides{})
	if len(cfg.Mapping.Users) != users {
		t.Fatalf("%d users", len(cfg.Mapping.Users))
	}
	first, last := cfg.Mapping.Users[0].Rules, cfg.Mapping.Users[users-1].Rules
	first.Ranks["probe"] = 7 // shows in the other map if it is the same
	if first.Types != last.Types || last.Ranks["probe"] != 7 {
		t.Error("types or ranks are not shared")
	}
}

func TestEnvironmentAndFlagsStandInForLines(t *testing.T) {
	flag := func(name, value string) *pflag.Flag {
		set := pflag.NewFlagSet("", pflag.ContinueOnError)
		set.String(name, "warn", "")
		if value != "" {
			_ = set.Set(name, value)
		}
		return set.Lookup(name)
	}
	for _, tc := range []struct {
		name, variable, value string
		flag                  *pflag.Flag
		read                  func(Daemon) any
		want                  any
	}{
		{"level", "LOG_LEVEL", "debug", nil, func(d Daemon) any { return d.Log.Level }, "debug"},
		{"format", "LOG_FORMAT", "console", nil, func(d Daemon) any { return d.Log.Format }, "console"},
		{"socket", "HTTP_SOCKET", "/run/x.sock", nil, func(d Daemon) any { return d.HTTP.Socket }, "/run/x.sock"},
		{"dsn", "STORE_DSN", "/var/x.db", nil, func(d Daemon) any { return d.Store.DSN }, "/var/x.db"},
		{"driver", "STORE_DRIVER", "sqlite", nil, func(d Daemon) any { return d.Store.Driver }, "sqlite"},
		{"days", "STORE_HISTORY_DAYS", "7", nil, func(d Daemon) any { return d.Store.HistoryDays }, 7},
		{"an empty variable counts as not set", "LOG_LEVEL", "", nil, func(d Daemon) any { return d.Log.Level }, "error"},
		{"a flag wins", "LOG_LEVEL", "debug", flag("log-level", "info"), func(d Daemon) any { return d.Log.Level }, "info"},
		{"a flag that was not given does not", "LOG_LEVEL", "debug", flag("log-level", ""), func(d Daemon) any { return d.Log.Level }, "debug"},
		{"nor does its default win over the file", "TEST_X", "1", flag("log-level", ""), func(d Daemon) any { return d.Log.Level }, "error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder(t)
			write(t, "presencebridge.yaml", read(t, "presencebridge.yaml")+"log: {level: error}\n")
			t.Setenv("PRESENCEBRIDGE_"+tc.variable, tc.value)
			over := Overrides{Flags: map[string]*pflag.Flag{"log.level": tc.flag}}
			if got := tc.read(mustLoad(t, over).Daemon); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFaultsOfOverridesNameThem(t *testing.T) {
	for variable, want := range map[string]string{
		"LOG_LVEL":           "environment: PRESENCEBRIDGE_LOG_LVEL: no such setting: did you mean PRESENCEBRIDGE_LOG_LEVEL?",
		"LOG_LEVEL":          `environment: PRESENCEBRIDGE_LOG_LEVEL: "x" is not known here: use debug, info, warn or error`,
		"HTTP_LISTEN":        `environment: PRESENCEBRIDGE_HTTP_LISTEN: "x" is no address to listen on: write host:port, for example 127.0.0.1:8080 or 0.0.0.0:8443`,
		"STORE_HISTORY_DAYS": "environment: PRESENCEBRIDGE_STORE_HISTORY_DAYS: is not a number that fits: write a whole number from 0 to 36500, without quotes",
		"MAPPING":            "x: there is no such file: write it, or correct the name",
	} {
		t.Run(variable, func(t *testing.T) {
			folder(t)
			t.Setenv("PRESENCEBRIDGE_"+variable, "x")
			cfg, faults := Load("presencebridge.yaml", Overrides{})
			if cfg != nil || faults.Error() != want {
				t.Errorf("config %v, faults:\n%v\nwant:\n%s", cfg, faults, want)
			}
		})
	}
}

func TestOverridableListsEveryScalar(t *testing.T) {
	doc := &document{file: "x", overrides: make(map[string]override)}
	for _, key := range overridable() {
		doc.overrides[key] = override{text: "\x01", origin: "environment", name: key}
	}
	d := readDaemon(doc.parse([]byte("{}")))
	// Each is either taken over or refused; one that is not read at all would be neither.
	for _, key := range overridable() {
		refused := slices.ContainsFunc(doc.faults, func(f Fault) bool { return f.Path == key })
		taken := key == "mapping" && d.Mapping == "\x01" || key == "store.dsn" && d.Store.DSN == "\x01" ||
			key == "http.socket" && d.HTTP.Socket == "\x01" || key == "http.tls.key_file" && d.HTTP.TLS.KeyFile == "\x01"
		if !refused && !taken {
			t.Errorf("%s is not read", key)
		}
	}
}

func TestSystemdSaysWhereThingsBelong(t *testing.T) {
	dir := folder(t)
	if err := os.Mkdir("creds", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "creds/ami-secret", "from systemd")
	t.Setenv("STATE_DIRECTORY", "/var/lib/presencebridge:/var/lib/other")
	t.Setenv("RUNTIME_DIRECTORY", "/run/presencebridge")
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "creds"))
	d := mustLoad(t, Overrides{}).Daemon
	if d.Store.DSN != "/var/lib/presencebridge/presencebridge.db" || d.HTTP.Socket != "/run/presencebridge/presencebridge.sock" {
		t.Errorf("store %s, socket %s", d.Store.DSN, d.HTTP.Socket)
	}
	if got := d.PBX[0].AMI.Secret.Reveal(); got != "from systemd" {
		t.Errorf("secret %q", got)
	}
	write(t, "creds/ami-secret", "\n") // as the unit has it where the file is missing
	if cfg, faults := Load("presencebridge.yaml", Overrides{}); cfg != nil || !strings.Contains(fmt.Sprint(faults), "into ami-secret, or where else LoadCredential= has it from") {
		t.Errorf("of an empty credential: %v", faults)
	}
	if err := os.Remove("creds/ami-secret"); err != nil {
		t.Fatal(err)
	}
	if got := mustLoad(t, Overrides{}).Daemon.PBX[0].AMI.Secret.Reveal(); got != "hunter2" {
		t.Errorf("without a credential the secret is %q", got)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := folder(t)
	t.Chdir("/")
	cfg, faults := Load(filepath.Join(dir, "presencebridge.yaml"), Overrides{})
	if cfg == nil {
		t.Fatal(faults)
	}
	if cfg.Path != filepath.Join(dir, "presencebridge.yaml") || cfg.Daemon.Store.DSN != filepath.Join(dir, "presencebridge.db") {
		t.Errorf("paths %s, %s", cfg.Path, cfg.Daemon.Store.DSN)
	}
}

func TestExactlyOneNewlineOfASecretIsCut(t *testing.T) {
	folder(t)
	for content, want := range map[string]string{"a": "a", "a\n": "a", "a\r\n": "a", " a ": " a "} {
		write(t, "ami-secret", content)
		if got := mustLoad(t, Overrides{}).Daemon.PBX[0].AMI.Secret.Reveal(); got != want {
			t.Errorf("secret of %q = %q", content, got)
		}
	}
	write(t, "ami-secret", "a\n\n")
	if cfg, _ := Load("presencebridge.yaml", Overrides{}); cfg != nil {
		t.Error("two newlines were cut")
	}
}

// authority is a certificate in PEM form.
func authority() string {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestTLSTakesItsAuthority(t *testing.T) {
	folder(t)
	write(t, "ca.pem", authority())
	write(t, "presencebridge.yaml", "pbx: [{name: main, ami: {address: '[::1]:5039', username: u, secret_file: ami-secret, plain_login: true, tls: {enabled: true, ca_file: ca.pem, server_name: pbx}}}]")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	ami := cfg.Daemon.PBX[0].AMI
	if want := (TLS{Enabled: true, CAFile: filepath.Join(filepath.Dir(cfg.Path), "ca.pem"), ServerName: "pbx"}); ami.TLS != want || !ami.PlainLogin {
		t.Errorf("ami = %+v", ami)
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	type hidden struct{ ami AMI }
	cfg := AMI{Secret: NewSecret("hunter2")}
	out := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", cfg, cfg, cfg, cfg.Secret, cfg.Secret, cfg.Secret, cfg.Secret, hidden{cfg})
	out += cfg.Secret.String() + cfg.Secret.GoString()
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		for _, v := range []any{cfg, map[string]Secret{"s": cfg.Secret}} {
			text, err := marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			out += string(text)
		}
	}
	text, err := cfg.Secret.MarshalText()
	if err != nil || strings.Contains(out+string(text), "hunter2") || strings.Contains(out, "68756e74657232") {
		t.Errorf("the secret is in %s%s", out, text)
	}
	if (Secret{}).Reveal() != "" || !cfg.Secret.Equal(NewSecret("hunter2")) || cfg.Secret.Equal(Secret{}) {
		t.Error("a secret is not equal to itself, or the zero one not empty")
	}
}

func TestFileThatIsTooLongIsRefused(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", strings.Repeat("#", maxFile+1))
	if m, _, _, faults := loadMapping("mapping.yaml", []PBX{{Name: "main", Presentity: defaultPresentity}}); m != nil || faults.Error() != "mapping.yaml: the file is longer than 16 MiB: split the users over several bridges" {
		t.Errorf("%v %v", m, faults)
	}
}

func TestMissingDaemonFileIsOneFault(t *testing.T) {
	cfg, faults := Load(filepath.Join(t.TempDir(), "none.yaml"), Overrides{})
	if cfg != nil || len(faults) != 1 || faults[0].What != "there is no such file" {
		t.Errorf("%v %v", cfg, faults)
	}
}

func TestFileThatMayNotBeReadSaysWhatToRun(t *testing.T) {
	f := unreadable("x.yaml", os.ErrPermission)
	if want := "x.yaml: this user may not read it: run: chgrp presencebridge x.yaml && chmod 640 x.yaml"; f.String() != want {
		t.Errorf("%s", f)
	}
}

func TestFindLooksInTheUsualPlaces(t *testing.T) {
	folder(t)
	for explicit, want := range map[string]string{"": "presencebridge.yaml", "mine.yaml": "mine.yaml"} {
		if got, err := Find(explicit); got != want || err != nil {
			t.Errorf("Find(%q) = %q, %v", explicit, got, err)
		}
	}
	t.Chdir(t.TempDir())
	if _, err := os.Stat("/etc/presencebridge/presencebridge.yaml"); err == nil {
		t.Skip("this machine has a bridge installed in /etc; remove it to test the rest")
	}
	if _, err := Find(""); err == nil || !strings.Contains(err.Error(), "--config") {
		t.Errorf("Find = %v", err)
	}
}

func TestManyFaultsMakeABoundedError(t *testing.T) {
	faults := make(Faults, 1000)
	text := faults.Error()
	if strings.Count(text, "\n") != shownFaults || !strings.HasSuffix(text, "and 980 more") {
		t.Errorf("error has %d lines and ends %q", strings.Count(text, "\n"), text[len(text)-20:])
	}
}

// FuzzLoad holds the loader to its promise for every pair of files: no panic, and
// either a whole configuration or none.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob(testdata + "/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	good, goodMapping := read(f, testdata+"/good-presencebridge.yaml"), read(f, testdata+"/good-mapping.yaml")
	for _, file := range append(files, "mapping.yaml", "presencebridge.yaml") {
		text := read(f, file)
		f.Add(text, goodMapping)
		f.Add(good, text)
	}
	f.Fuzz(func(t *testing.T, daemon, mapping string) {
		dir := t.TempDir()
		write(t, dir+"/presencebridge.yaml", daemon)
		write(t, dir+"/mapping.yaml", mapping)
		write(t, dir+"/ami-secret", "hunter2")
		cfg, faults := Load(dir+"/presencebridge.yaml", Overrides{})
		if (cfg == nil) != (len(faults.Errors()) > 0) {
			t.Fatalf("config %v with faults:\n%v", cfg, faults)
		}
		if _, again := Load(dir+"/presencebridge.yaml", Overrides{}); again.Error() != faults.Error() {
			t.Fatalf("the second time the faults are\n%v\nat first they were\n%v", again, faults)
		}
		if strings.Contains(faults.Error(), "hunter2") && !strings.Contains(daemon+mapping, "hunter2") {
			t.Fatalf("a fault shows the secret: %v", faults)
		}
		if cfg == nil {
			return
		}
		seen := make(map[string]bool)
		for _, u := range cfg.Mapping.Users {
			if u.ID == "" || u.Name == "" || seen[string(u.ID)] || u.Rules.Types != cfg.Mapping.Types {
				t.Fatalf("user %+v", u)
			}
			seen[string(u.ID)] = true
			if d := u.Rules.Default; d != 0 && d >= len(u.Rules.Extensions) {
				t.Fatalf("user %s has default %d", u.ID, d)
			}
			for _, e := range u.Rules.Extensions {
				if !slices.ContainsFunc(cfg.Daemon.PBX, func(p PBX) bool { return p.Name == e.PBX }) || !wordPattern.MatchString(e.Number) || seen["/"+e.String()] {
					t.Fatalf("user %s has extension %s", u.ID, e)
				}
				seen["/"+e.String()] = true
			}
		}
	})
}

func TestThePhoneSectionIsOfAllUsers(t *testing.T) {
	folder(t)
	write(t, "mapping.yaml", `
statuses:
  - {id: available, base: connected, asterisk: available}
  - {id: on_call, base: in_call}
  - {id: gone, base: offline}
phone:
  in_call: on_call
  offline: {status: gone, over: [connected, absent], after: 2m, ttl: 0}
users: [{id: a, extensions: [1]}, {id: b, extensions: [2], incoming: default}]
`)
	users := mustLoad(t, Overrides{}).Mapping.Users
	want := presence.Phones{
		InCall:  presence.PhoneRule{Show: "on_call", Over: []presence.Base{presence.Connected}},
		Offline: presence.PhoneRule{Show: "gone", Over: []presence.Base{presence.Connected, presence.Absent}, After: 2 * time.Minute, TTL: presence.Forever},

		OfflineWhen: presence.WhenDevices,
	}
	if got := users[0].Rules.Phones; !reflect.DeepEqual(*got, want) || users[1].Rules.Phones != got {
		t.Errorf("phones %+v, want %+v for both", *got, want)
	}
}

func TestWhatMakesUsersOffline(t *testing.T) {
	for text, want := range map[string]presence.OfflineWhen{
		"in_call: dnd": presence.WhenNever, "offline: dnd": presence.WhenDevices, "offline: dnd, offline_when: devices": presence.WhenDevices,
		"offline: dnd, offline_when: signed_out": presence.WhenSignedOut, "offline: dnd, offline_when: both": presence.WhenBoth,
		"offline: dnd, offline_when: never": presence.WhenNever, "offline_when: never": presence.WhenNever,
	} {
		t.Run(text, func(t *testing.T) {
			folder(t)
			write(t, "mapping.yaml", statuses+"phone: {"+text+"}\nusers: [{id: a, extensions: [1]}]")
			if got := mustLoad(t, Overrides{}).Mapping.Users[0].Rules.Phones.OfflineWhen; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestPhonesThatNobodyFollowsAreAWarning(t *testing.T) {
	folder(t)
	write(t, "presencebridge.yaml", strings.ReplaceAll(read(t, "presencebridge.yaml"), "- name: ", "- device: \"\"\n    name: "))
	write(t, "mapping.yaml", statuses+"phone: {in_call: dnd}\nusers: [{id: a, extensions: [1]}]")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if cfg == nil || cfg.Daemon.PBX[0].Device != "" || len(faults) != 1 || !strings.Contains(faults[0].String(), "phone: no PBX") {
		t.Errorf("faults: %v", faults)
	}
	write(t, "mapping.yaml", statuses+"phone: {offline: dnd, offline_when: signed_out}\nusers: [{id: a, extensions: [1]}]")
	if _, faults := Load("presencebridge.yaml", Overrides{}); len(faults) > 0 {
		t.Errorf("where pages alone count: %v", faults)
	}
	write(t, "mapping.yaml", statuses+"users: [{id: a, extensions: [1]}]")
	if p := mustLoad(t, Overrides{}).Mapping.Users[0].Rules.Phones; p != nil {
		t.Errorf("phones %+v without a section", p)
	}
}

func TestADNDDeviceWithoutAStatusIsAWarning(t *testing.T) {
	folder(t)
	write(t, "presencebridge.yaml", strings.Replace(read(t, "presencebridge.yaml"), "- name: main", "- dnd: Custom:DND{extension}\n    name: main", 1))
	write(t, "mapping.yaml", "statuses: [{id: available, base: connected, asterisk: available}, {id: dnd, base: busy}]\nusers: [{id: a, extensions: [1]}]")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if cfg == nil || cfg.Daemon.PBX[0].DND != "Custom:DND{extension}" || len(faults) != 1 || !strings.Contains(faults[0].String(), "statuses: no status is mapped to the presence dnd") {
		t.Errorf("faults: %v", faults)
	}
	write(t, "mapping.yaml", statuses+"users: [{id: a, extensions: [{pbx: main, extension: "+strings.Repeat("1", 62)+"}]}]")
	if _, faults := Load("presencebridge.yaml", Overrides{}); len(faults) != 1 || !strings.Contains(faults[0].String(), "with the dnd of PBX main this is a name of 65 characters") {
		t.Errorf("faults: %v", faults)
	}
	write(t, "mapping.yaml", statuses+"users: [{id: a, extensions: [1]}]")
	mustLoad(t, Overrides{})
}
