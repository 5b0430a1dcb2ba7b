package api

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer says which process is at the other end of a unix socket, " (process 42)".
func peer(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || cred == nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", cred.Pid)
}
