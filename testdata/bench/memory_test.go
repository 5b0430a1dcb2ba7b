package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

const memoryUsers = 100_000

// BenchmarkHeap is what the bridge keeps alive for a user with two extensions, all
// of whom have said something: alone, and with devices beside each extension.
func BenchmarkHeap(b *testing.B) {
	const lamp, dnd = "Custom:PRES{extension}", "Custom:DND{extension}"
	for _, with := range []struct {
		name string
		pbx  asterisk.Config
	}{
		{"alone", asterisk.Config{}},
		{"lamps", asterisk.Config{Lamp: lamp}},
		{"dnd", asterisk.Config{DND: dnd}},
		{"lamps and dnd", asterisk.Config{Lamp: lamp, DND: dnd}},
	} {
		b.Run(with.name, func(b *testing.B) {
			sim := startChild(b, fmt.Sprint("sim ", perUser*memoryUsers))
			var perOne samples
			for b.Loop() {
				dir := b.TempDir()
				st := openStore(b, dir)
				before := heap()
				r := open(b, memoryUsers, asteriskWith(b, sim.addr, with.pbx), st)
				r.run()
				r.decided()
				r.saved()
				r.settled()
				perOne = append(perOne, (steady(b)-before)*1e6/memoryUsers)
				r.stop()
			}
			b.Logf("| heap %s, bytes/user | %s |", with.name, perOne)
		})
	}
}

// steady is the heap once it changes no more: devices are written after all is saved.
func steady(b *testing.B) (now float64) {
	before := heap()
	for range 30 {
		time.Sleep(2 * time.Second)
		if now = heap(); now > 0.998*before && now < 1.002*before {
			return now
		}
		before = now
	}
	b.Fatal("the heap does not come to rest")
	return 0
}

// BenchmarkRestart starts the program itself, with 100,000 users in its files, its
// store and on the PBX, and waits until it says that it is ready.
func BenchmarkRestart(b *testing.B) {
	program := buildProgram(b)
	on := func(driver string, server *servertest.Server) func() string {
		return func() string {
			at := server.NewDatabase()
			return fmt.Sprintf("{driver: %s, dsn: \"%s://%s@%s/%s\", password_file: secret}", driver, driver, at.User, at.Address, at.Database)
		}
	}
	ends := map[string]syscall.Signal{"stopped": syscall.SIGTERM, "killed": syscall.SIGKILL}
	b.Run("sqlite", func(b *testing.B) {
		restart(b, program, ends, func() string { return "{driver: sqlite, dsn: bench.db}" })
	})
	delete(ends, "killed") // the next start would wait for the lease
	b.Run("postgres", func(b *testing.B) { restart(b, program, ends, on("postgres", servertest.Postgres(b))) })
	b.Run("mariadb", func(b *testing.B) { restart(b, program, ends, on("mysql", servertest.MariaDB(b))) })
}

// restart measures on stores that newStore makes, each as it stands in the configuration.
func restart(b *testing.B, program string, ends map[string]syscall.Signal, newStore func() string) {
	figures := map[string]samples{}
	note := func(what string, f float64) { figures[what] = append(figures[what], f) }
	for _, users := range []int{1, memoryUsers} {
		sim := startChild(b, fmt.Sprint("sim ", perUser*users))
		dir := b.TempDir()
		writeFiles(b, dir, sim.addr, users, newStore())
		d := startDaemon(b, program, dir)
		d.ready()
		d.idle()
		d.end(syscall.SIGTERM)
		if users == 1 {
			note("rss of one user, MB", d.rss)
			continue
		}
		note("rss after the first start, MB", d.rss)
		for b.Loop() {
			for name, how := range ends {
				d := startDaemon(b, program, dir)
				note("ready when started, s; then "+name, d.ready())
				note("processor until then, s", d.cpu())
				d.idle()
				note("rss, MB", d.rss)
				note("peak, MB", d.peak)
				note("rss, bytes/user", (d.rss-figures["rss of one user, MB"][0])*1e6/memoryUsers)
				d.end(how)
			}
		}
	}
	for what, s := range figures {
		b.Logf("| %s | %s |", what, s)
	}
}

// daemon is a running presencebridge.
type daemon struct {
	b         testing.TB
	cmd       *exec.Cmd
	started   time.Time
	client    http.Client
	patience  time.Duration // for what it shall come to; 0: two minutes
	rss, peak float64       // MB
}

func writeFiles(b testing.TB, dir, addr string, users int, store string) {
	var m strings.Builder
	m.WriteString(`sync: {enabled: true, incoming: latest, outgoing: all}
statuses:
  - {id: available, name: Available, base: connected, color: "#2e7d32", asterisk: available}
  - {id: lunch, name: Lunch, base: absent, color: "#ef6c00", asterisk: {state: away, subtype: lunch}}
  - {id: dnd, name: Do not disturb, base: busy, color: "#b71c1c", asterisk: dnd}
users:
`)
	for i := range users {
		fmt.Fprintf(&m, "  - {id: %s, name: User Number %d, extensions: [%s, %s]}\n", userID(i), i, number(perUser*i), number(perUser*i+1))
	}
	for name, text := range map[string]string{
		"mapping.yaml": m.String(),
		"secret":       "bridge-secret\n",
		"presencebridge.yaml": fmt.Sprintf("pbx:\n  - name: main\n    ami: {address: %q, username: bridge, secret_file: secret}\n"+
			"http: {socket: s}\nstore: %s\nlog: {level: error}\n", addr, store),
	} {
		check(b, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

// startDaemon starts the program with what is in a folder, and more in its environment.
func startDaemon(b testing.TB, program, dir string, more ...string) *daemon {
	d := &daemon{b: b, started: time.Now()}
	d.cmd = exec.CommandContext(b.Context(), program, "run", "--config", filepath.Join(dir, "presencebridge.yaml"))
	d.cmd.Env, d.cmd.Stderr = append(os.Environ(), more...), os.Stderr
	d.client.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "s"))
		},
	}
	check(b, d.cmd.Start())
	return d
}

// ready waits until the bridge says so and tells the seconds since its start.
func (d *daemon) ready() float64 {
	until(d.b, "the bridge to be ready", func() bool {
		answer, err := d.client.Get("http://bridge/readyz")
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return time.Since(d.started).Seconds()
}

// idle waits until the bridge has had nothing to do for four seconds, and notes its memory.
func (d *daemon) idle() {
	cpu, quiet := d.cpu(), 0
	within(d.b, d.patience, "the bridge to be idle", func() bool {
		time.Sleep(time.Second)
		before := cpu
		cpu = d.cpu()
		if quiet++; cpu > before+0.02 { // its canary, and our looking
			quiet = 0
		}
		return quiet == 4
	})
	in := bufio.NewScanner(strings.NewReader(d.proc("status")))
	for in.Scan() {
		_, _ = fmt.Sscanf(in.Text(), "VmRSS: %f kB", &d.rss)
		_, _ = fmt.Sscanf(in.Text(), "VmHWM: %f kB", &d.peak)
	}
	d.rss, d.peak = d.rss*1024/1e6, d.peak*1024/1e6
}

// cpu is what it has used so far, in seconds.
func (d *daemon) cpu() float64 {
	var user, system float64 // in hundredths
	fields := strings.Fields(d.proc("stat"))
	_, err := fmt.Sscan(fields[13]+" "+fields[14], &user, &system)
	check(d.b, err)
	return (user + system) / 100
}

func (d *daemon) proc(file string) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
	check(d.b, err)
	return string(text)
}

func (d *daemon) end(how os.Signal) {
	check(d.b, d.cmd.Process.Signal(how))
	_ = d.cmd.Wait()
}
