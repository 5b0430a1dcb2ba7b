package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
	"github.com/presencebridge/presencebridge/pkg/store/servertest"
)

// ask sends JSON to the bridge.
func (r *running) ask(method, path, body string, header http.Header) (code int, tag, text string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, "http://bridge"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range header {
		q.Header.Set(name, header.Get(name))
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := r.client.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("ETag"), string(all)
}

// swallower is a way to a database that loses the answer to one commit of users.
type swallower struct {
	listener net.Listener
	to       string
	thenDown bool // it carries nothing after the loss, until up
	carriers sync.WaitGroup

	mu    sync.Mutex
	armed bool
	down  bool
	conns []net.Conn
}

func newSwallower(t *testing.T, to string, thenDown bool) *swallower {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{listener: l, to: to, thenDown: thenDown}
	s.carriers.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		s.closeAll()
		s.carriers.Wait()
	})
	return s
}

func (s *swallower) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// keep tells whether connections are carried now, and notes them.
func (s *swallower) keep(conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conns...)
	return !s.down
}

func (s *swallower) set(armed, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed, s.down = armed, down
}

// takes tells, once, whether this is the commit whose answer is lost.
func (s *swallower) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.armed
	s.armed = false
	return was
}

func (s *swallower) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", s.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !s.keep(client, server) {
			_, _ = client.Close(), server.Close()
			continue
		}
		lost := new(atomic.Bool)
		s.carriers.Go(func() {
			changes := false
			carry(client, server, func(text []byte) bool {
				text = bytes.ToLower(text)
				changes = changes || bytes.Contains(text, []byte("insert into mapped_users"))
				if changes && bytes.Contains(text, []byte("commit")) && s.takes() {
					lost.Store(true)
				}
				return true
			})
		})
		s.carriers.Go(func() {
			carry(server, client, func([]byte) bool { return !lost.Load() })
			if lost.Load() && s.thenDown {
				s.set(false, true)
				s.closeAll()
			}
			_, _ = client.Close(), server.Close()
		})
	}
}

// carry copies until one side closes, or pass says that it is enough.
func carry(from, to net.Conn, pass func([]byte) bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !pass(buffer[:n]) {
			break
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

// Whoever repeats the change of which nothing is known gets 200 only once the bridge
// has it.
func TestACommitWhoseAnswerIsLostIsTakenOverAllTheSame(t *testing.T) {
	onEachServer(t, func(t *testing.T, driver string, server *servertest.Server) {
		for name, thenDown := range map[string]bool{"at once": false, "when the store is back": true} {
			t.Run(name, func(t *testing.T) {
				at := server.NewDatabase()
				way := newSwallower(t, at.Address, thenDown)
				at.Address = way.listener.Addr().String()
				r := configure(t, storedMapping, pbxtest.NewSimulated(t, pbxtest.Options{}))
				r.storeIn(driver, at)
				r.startReady()
				way.set(true, false)
				r.refuses([]string{"it is not known whether it was done: look with presencebridge user list"}, "user", "add", "alice", "--extension", "1001")
				if way.takes() {
					t.Fatal("no commit was seen")
				}
				if code := r.status("/api/v1/users/alice"); !thenDown && code != http.StatusOK {
					t.Errorf("alice, who is in the store: %d", code)
				}
				way.set(false, false)
				code, _, text := r.ask(http.MethodPut, "/api/v1/mapping/users/alice", `{"id":"alice","extensions":["1001"]}`, nil)
				if there := r.status("/api/v1/users/alice"); code != http.StatusOK || there != http.StatusOK {
					t.Errorf("the same again: %d %s, and then alice is %d", code, text, there)
				}
			})
		}
	})
}

// What the API takes, the commands have to read.
func TestNumbersInDefinitionsAreKeptAsTexts(t *testing.T) {
	r := configure(t, storedMapping, pbxtest.NewSimulated(t, pbxtest.Options{}))
	r.startReady()
	const kept = `{"id":"1001","name":"1002","extensions":["1001"]}`
	if code, _, text := r.ask(http.MethodPut, "/api/v1/mapping/users/1001", `{"extensions":[1001],"name":1002}`, nil); code != http.StatusCreated || strings.TrimSpace(text) != kept {
		t.Errorf("put: %d %s", code, text)
	}
	r.write("users.csv", "id,extensions\nbob,1002\n1001,1001\n")
	if out := r.must("user", "import", filepath.Join(r.dir, "users.csv")); !strings.Contains(out, "1 user added, 0 changed, 1 unchanged.") {
		t.Errorf("import: %s", out)
	}
	if out := r.must("user", "list"); !strings.Contains(out, "1001") {
		t.Errorf("list: %s", out)
	}
	r.must("user", "set", "1001", "--name", "Alice")
}

func TestTwoChangesAtOnceLoseNothing(t *testing.T) {
	r := configure(t, storedMapping, pbxtest.NewSimulated(t, pbxtest.Options{}))
	r.startReady()
	r.must("user", "add", "alice", "--extension", "1001")
	const path = "/api/v1/mapping/users/alice"
	_, tag, _ := r.ask(http.MethodGet, path, "", nil)
	for try, want := range []int{http.StatusOK, http.StatusPreconditionFailed} {
		body := fmt.Sprintf(`{"extensions":["1001"],"email":"a%d@example.com"}`, try)
		if code, _, text := r.ask(http.MethodPut, path, body, http.Header{"If-Match": {tag}}); code != want {
			t.Errorf("change %d with the tag of before both: %d %s", try, code, text)
		}
	}
	for i := range 10 {
		name, mail := fmt.Sprintf("Alice %d", i), fmt.Sprintf("b%d@example.com", i)
		var both sync.WaitGroup
		both.Go(func() { r.run("user", "set", "alice", "--name", name) })
		both.Go(func() { r.run("user", "set", "alice", "--email", mail) })
		both.Wait()
		if _, _, text := r.ask(http.MethodGet, path, "", nil); !strings.Contains(text, name) || !strings.Contains(text, mail) {
			t.Fatalf("of %s and %s one is lost: %s", name, mail, text)
		}
	}
}

// Excel of Western Europe writes Windows-1252 unless it is told otherwise.
func TestAFileThatIsNotUTF8IsNotImported(t *testing.T) {
	r := configure(t, storedMapping, pbxtest.NewSimulated(t, pbxtest.Options{}))
	r.startReady()
	r.write("users.csv", "id;name\r\nrene;Ren\xe9\r\nbob;Bob\r\nzoe;Zo\xeb\r\n")
	r.refuses([]string{"line 2: is not UTF-8: save the file as CSV UTF-8\nline 4: is not UTF-8"}, "user", "import", filepath.Join(r.dir, "users.csv"))
	if out := r.must("user", "list"); !strings.Contains(out, "There is no user") {
		t.Errorf("list: %s", out)
	}
}

func TestAFileThatIsTooLargeForTheBridgeIsToBeSplit(t *testing.T) {
	err := notImported("users.csv", nil, &exit{exitFailed, &api.Problem{Status: http.StatusRequestEntityTooLarge, Detail: "Send at most 67108864 bytes."}})
	if err == nil || err.Error() != "users.csv is too large for one import: split it" {
		t.Error(err)
	}
}
