package api

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer says which process is at the other end of a unix socket, " (process 42)".
func peer(c net.Conn) string {
	cred := credentials(c)
	if cred == nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", cred.Pid)
}

// peerUser is the id of the user who has opened the other end of a unix socket. ok is false
// where that is not known.
func peerUser(c net.Conn) (uid uint32, ok bool) {
	cred := credentials(c)
	if cred == nil {
		return 0, false
	}
	return cred.Uid, true
}

// credentials are those of unix(7), as of when the other end connected; nil: there are none.
func credentials(c net.Conn) *unix.Ucred {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil
	}
	var cred *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil
	}
	return cred
}
