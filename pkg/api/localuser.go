package api

import (
	"net"
	"os/user"
	"strconv"
	"strings"
)

// identified is the listener of the unix socket. The address of each of its connections
// says which user of this machine has opened it, where the system tells.
type identified struct{ net.Listener }

// Accept returns the next connection.
func (l identified) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	uid, ok := peerUser(c)
	if !ok {
		return c, nil
	}
	id := strconv.FormatUint(uint64(uid), 10)
	name := "uid " + id
	if u, err := user.LookupId(id); err == nil && systemName(u.Username) {
		name = u.Username
	}
	return identifiedConn{c, localAddr(name)}, nil
}

// systemName tells whether a name may stand in the audit log as it is: it comes from
// wherever the machine has its users from.
func systemName(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

type identifiedConn struct {
	net.Conn
	from localAddr
}

func (c identifiedConn) RemoteAddr() net.Addr { return c.from }

// localAddr is the user at the other end of a unix socket.
type localAddr string

// localMark cannot begin an address of the network.
const localMark = "user "

func (a localAddr) Network() string { return "unix" }
func (a localAddr) String() string  { return localMark + string(a) }

// localUser is who has opened the connection of a request over the unix socket; "": it is
// not known.
func localUser(remote string) string {
	name, ok := strings.CutPrefix(remote, localMark)
	if !ok {
		return ""
	}
	return name
}
