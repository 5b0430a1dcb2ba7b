package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

const (
	eventSize = 166 // bytes of a PresenceStateChange, the mean of a real Asterisk's
	lastPhone = "999999"
)

// shows is what a presentity shows, as its event says.
type shows struct{ status, subtype, message string }

// recording is what the server of recorded bytes sends: events about phones in turn,
// and one about lastPhone, by which a reader knows that it has seen all.
func recording(events, phones int) (raw []byte, final map[string]shows) {
	var b bytes.Buffer
	final = make(map[string]shows, phones)
	for i := range events {
		status, subtype, _ := strings.Cut(values[(i+i/phones)%len(values)], ",")
		presentity := "CustomPresence:" + number(i%phones)
		head := fmt.Sprintf("Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: %s\r\nStatus: %s\r\nSubtype: %s\r\nMessage: ",
			presentity, status, subtype)
		message := fmt.Sprintf("Back in %d minutes, or a little later, if the meeting takes long", i)
		message = message[:eventSize-len(head)-len("\r\n\r\n.")] + "." // some peers cut spaces at the end
		b.WriteString(head + message + "\r\n\r\n")
		final[presentity] = shows{status, subtype, message}
	}
	b.WriteString(lastEvent("the end"))
	return b.Bytes(), final
}

// lastEvent is an event about lastPhone.
func lastEvent(message string) string {
	return "Event: PresenceStateChange\r\nPrivilege: call,all\r\nPresentity: CustomPresence:" + lastPhone +
		"\r\nStatus: dnd\r\nSubtype: \r\nMessage: " + message + "\r\n\r\n"
}

// player is a fake Asterisk that sends a recording as fast as it is read: to the
// account listener behind the answer to its first Ping (a library may send more of them by
// itself), to any other when somebody else says Play.
// It has an empty list, and tells of canaries, so that a connector is content with it.
type player struct {
	raw []byte

	mu       sync.Mutex
	sessions map[*recorded]struct{} // of other accounts
}

// recorded is one of its sessions. A frame is written at once.
type recorded struct {
	mu     sync.Mutex
	nc     net.Conn
	played bool // the recording was sent; of the goroutine that reads
}

func (s *recorded) send(lines ...string) {
	s.write([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n"))
}

func (s *recorded) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.nc.Write(b) // who is gone has had enough
}

// serveRecording serves the file until its input ends.
func serveRecording(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	r := &player{raw: raw, sessions: map[*recorded]struct{}{}}
	go func() { // the process ends with it
		for nc, err := l.Accept(); err == nil; nc, err = l.Accept() {
			go r.serve(nc)
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (r *player) serve(nc net.Conn) {
	s := &recorded{nc: nc}
	defer func() {
		_ = nc.Close()
		r.mu.Lock()
		delete(r.sessions, s)
		r.mu.Unlock()
	}()
	_, _ = io.WriteString(nc, "Asterisk Call Manager/11.0.0\r\n")
	in, a, user := bufio.NewReader(nc), map[string]string{}, ""
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if key != "" {
			a[strings.ToLower(key)] = value
			continue
		}
		if strings.EqualFold(a["action"], "login") {
			user = a["username"]
		}
		if !r.perform(s, user, a) {
			return
		}
		clear(a)
	}
}

// perform answers an action. It returns false at a Logoff.
func (r *player) perform(s *recorded, user string, a map[string]string) bool {
	id := "ActionID: " + a["actionid"]
	switch strings.ToLower(a["action"]) {
	case "login":
		s.send("Response: Success", id, "Message: Authentication accepted")
		if user != "listener" {
			r.mu.Lock()
			r.sessions[s] = struct{}{}
			r.mu.Unlock()
			s.send("Event: FullyBooted", "Privilege: system,all", "Status: Fully Booted")
		}
	case "ping":
		s.send("Response: Success", id, "Ping: Pong")
		if user == "listener" && !s.played {
			s.played = true
			s.write(r.raw)
		}
	case "play":
		s.send("Response: Success", id)
		r.mu.Lock()
		defer r.mu.Unlock()
		raw := r.raw
		if tail := a["tail"]; tail != "" {
			raw = append(bytes.Clone(raw), lastEvent(tail)...)
		}
		for other := range r.sessions {
			go other.write(raw) // ends with its connection
		}
	case "presencestatelist":
		s.send("Response: Success", id, "EventList: start")
		s.send("Event: PresenceStateListComplete", id, "EventList: Complete", "ListItems: 0")
	case "corestatus":
		s.send("Response: Success", id, "CoreStartupDate: 2026-11-26", "CoreStartupTime: 00:00:00")
	case "setvar":
		s.send("Response: Success", id)
		if event, err := canaryEvent(a["variable"], a["value"]); err == nil {
			s.write(event)
		}
	case "logoff":
		s.send("Response: Goodbye", id, "Message: Thanks for all the fish.")
		return false
	default:
		s.send("Response: Success", id)
	}
	return true
}

// play makes the server send the recording to whoever waits for it, and one more event
// about lastPhone with the message tail, unless that is "".
func play(addr, tail string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = nc.Close() }()
	if _, err := fmt.Fprintf(nc, "Action: Play\r\nTail: %s\r\n\r\n", tail); err != nil {
		return err
	}
	in := bufio.NewScanner(nc)
	for in.Scan() {
		if in.Text() == "Response: Success" {
			return nil
		}
	}
	return errors.Join(in.Err(), errors.New("the server of recorded bytes did not answer"))
}
