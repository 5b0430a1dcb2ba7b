// Package servertest runs database servers for tests: real ones, on ports and in
// folders of their own, as Debian's packages install them.
package servertest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	// places is a list such as postgres=/usr/lib/postgresql/15/bin,mariadb=/usr/sbin.
	places = "PRESENCEBRIDGE_TEST_DATABASES"

	// User is the account that owns every database.
	User = "bridge"
	// Password is that of User.
	Password = "bridge-secret"

	patience = 60 * time.Second // a busy machine with two cores
)

// kind is what one kind of server does differently.
type kind interface {
	account() string                      // the system's user that it runs as when root starts it
	install(s *Server) []*exec.Cmd        // makes the files of a new server
	command(s *Server) *exec.Cmd          // runs it in the foreground
	open(s *Server) (*sql.DB, error)      // connects as its administrator
	database(name string) []string        // makes a database that User owns
	at(s *Server) (socket string)         // the path of its unix socket
	encrypt(pem string) []string          // settings that make it speak TLS with what the file holds
	client(store.Server) (*sql.DB, error) // connects as anybody
}

// Server is a database server that runs for one test.
type Server struct {
	kind   kind
	bin    string // where its programs are
	dir    string
	port   int
	t      testing.TB
	admin  *sql.DB
	cmd    *exec.Cmd // nil: not running
	output bytes.Buffer
	made   sync.WaitGroup
	extra  []string // arguments
}

// Postgres runs a PostgreSQL until the test ends. extra are settings, name=value.
func Postgres(t testing.TB, extra ...string) *Server {
	return start(t, "postgres", postgres{}, extra)
}

// MariaDB runs a MariaDB until the test ends. extra are settings, name=value.
func MariaDB(t testing.TB, extra ...string) *Server { return start(t, "mariadb", mariadb{}, extra) }

func start(t testing.TB, name string, k kind, extra []string) *Server {
	t.Helper()
	bin := ""
	for _, place := range strings.Split(os.Getenv(places), ",") {
		if which, path, _ := strings.Cut(place, "="); which == name {
			bin = path
		}
	}
	if bin == "" {
		t.Skipf("needs a %s: install it (apt-get install postgresql mariadb-server) and set %s=postgres=/usr/lib/postgresql/15/bin,mariadb=/usr/sbin, or run make test", name, places)
	}
	// Not t.TempDir, whose path is longer than a socket's may be.
	dir, err := os.MkdirTemp("", "pbdb")
	s := &Server{kind: k, bin: bin, dir: dir, t: t, extra: extra}
	s.must("make a folder", err)
	t.Cleanup(s.remove)
	s.must("give the folder away", s.own(dir))
	s.port, err = freePort()
	s.must("find a port", err)
	for _, cmd := range k.install(s) {
		if err := s.as(cmd); err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	s.admin, err = k.open(s)
	s.must("connect", err)
	s.Start()
	for _, statement := range k.database("presencebridge") {
		s.Exec(statement)
	}
	return s
}

func (s *Server) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// Start runs the server and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s.cmd = s.kind.command(s)
		s.output.Reset()
		s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
		s.must("find its account", s.as(s.cmd))
		s.must("start it", s.cmd.Start())
		gone := make(chan struct{})
		s.made.Go(func() { _ = s.cmd.Wait(); close(gone) })
		if s.answers(gone, deadline) {
			return
		}
		// One that was killed leaves children for a moment, which a new one refuses.
		s.Kill()
		if time.Now().After(deadline) {
			s.t.Fatalf("it does not start:\n%s", s.output.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *Server) answers(gone <-chan struct{}, deadline time.Time) bool {
	for time.Now().Before(deadline) {
		select {
		case <-gone:
			return false
		case <-time.After(50 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := s.admin.PingContext(ctx)
		cancel()
		if err == nil {
			return true
		}
	}
	return false
}

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.signal(syscall.SIGKILL) }

// Stop ends the server in order, but not before connections end theirs.
func (s *Server) Stop() { s.signal(syscall.SIGINT, syscall.SIGTERM) }

func (s *Server) signal(signals ...syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.Resume()
	for _, signal := range signals {
		_ = s.cmd.Process.Signal(signal)
	}
	s.made.Wait()
	s.cmd = nil
}

// Pause stops every process of the server where it stands: connections stay open
// and nothing answers.
func (s *Server) Pause() {
	s.t.Helper()
	pids := s.processes()
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	// The kernel stops one thread after the other.
	for end := time.Now().Add(patience); !stopped(pids); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("the server does not stop")
		}
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
}

func (s *Server) processes() []int {
	pid := s.cmd.Process.Pid
	all := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(child); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// stopped tells whether every thread of these processes stands.
func stopped(pids []int) bool {
	for _, pid := range pids {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			_, after, _ := bytes.Cut(stat, []byte(") ")) // of the name; proc(5)
			if err == nil && !bytes.HasPrefix(after, []byte("T")) {
				return false
			}
		}
	}
	return true
}

// Encrypt makes the server, anew, speak TLS with a key and a certificate.
func (s *Server) Encrypt(pem string) {
	s.t.Helper()
	file := s.path("tls.pem")
	s.must("write its certificate", os.WriteFile(file, []byte(pem), 0o600))
	s.must("give its certificate away", s.own(file))
	s.Stop()
	s.extra = append(s.extra, s.kind.encrypt(file)...)
	s.Start()
}

// NewDatabase makes an empty database that User owns, reached over TCP.
func (s *Server) NewDatabase() store.Server {
	s.t.Helper()
	name := "db_" + strings.ToLower(rand.Text()[:10])
	for _, statement := range s.kind.database(name) {
		s.Exec(statement)
	}
	return store.Server{
		Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), Database: name,
		User: User, Password: func() string { return Password },
	}
}

// Socket is the path of the server's unix socket.
func (s *Server) Socket() string { return s.kind.at(s) }

// Exec executes a statement as the administrator.
func (s *Server) Exec(statement string) {
	s.t.Helper()
	if _, err := s.admin.ExecContext(context.Background(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// Panel connects to a database with nothing of the bridge's settings.
func (s *Server) Panel(at store.Server) (*sql.DB, error) { return s.kind.client(at) }

// own gives a file to whom the server runs as.
func (s *Server) own(path string) error {
	id, err := s.credential()
	if err != nil || id == nil {
		return err
	}
	return os.Chown(path, int(id.Uid), int(id.Gid))
}

// credential is whom the server runs as; nil: as we do.
func (s *Server) credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup(s.kind.account())
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err, err2)
}

// as makes a command run as the server does, in its folder, and end with us.
func (s *Server) as(cmd *exec.Cmd) error {
	id, err := s.credential()
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: id, Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + s.dir}
	return err
}

func (s *Server) remove() {
	s.Kill()
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.t.Failed() {
		s.t.Logf("output of the server:\n%s", s.output.String())
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("remove what a server left: %v", err)
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) program(name string) string { return filepath.Join(s.bin, name) }

// freePort picks one below those that the kernel gives to clients, so that it is
// still free after a restart.
func freePort() (int, error) {
	for range 100 {
		b := make([]byte, 2)
		_, _ = rand.Read(b) // never fails, see crypto/rand
		port := 20000 + (int(b[0])<<8|int(b[1]))%12000
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 20000 and 32000")
}
