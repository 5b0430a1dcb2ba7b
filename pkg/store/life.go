package store

import (
	"crypto/rand"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// maxBoot is how long a Lease.Boot may be: with dashes.
const maxBoot = 36

// life is how other bridges of the same machine see that this process has ended, however it
// did: a socket with a name that the kernel takes away then (unix(7), abstract sockets). A
// paused process keeps it.
type life struct {
	conn *net.UnixConn // nil: others cannot see it
	sign string        // where it is seen, at most 120 signs; "": nowhere
}

// newLife begins one. Without a boot, or where there is no such socket, others wait for a
// term as if they were on another machine.
func newLife(boot string) life {
	at := here(boot)
	if at == "" {
		return life{}
	}
	name := "presencebridge-" + rand.Text()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@" + name, Net: "unixgram"})
	if err != nil {
		return life{}
	}
	return life{conn, at + " " + name}
}

func (l *life) end() error {
	if l.conn == nil {
		return nil
	}
	return l.conn.Close()
}

// hasEnded tells whether the process of a sign is known to have ended; false: it lives, or is
// where this one cannot see it.
func hasEnded(sign, boot string) bool {
	at := here(boot)
	name, ok := strings.CutPrefix(sign, at+" ")
	if at == "" || !ok {
		return false
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: "@" + name, Net: "unixgram"})
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return false
}

// here is within what names of sockets are seen: this machine since it was started, and the
// network namespace, which containers have of their own. "": unknown.
func here(boot string) string {
	if runtime.GOOS != "linux" || boot == "" || len(boot) > maxBoot { // elsewhere such a name is that of a file
		return ""
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return boot + " " + network
}
