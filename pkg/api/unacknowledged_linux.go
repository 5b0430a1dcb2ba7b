package api

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// giveUp makes the kernel end a connection whose peer has acknowledged nothing for so
// long: a reader of events that has vanished would else keep its place for a quarter of
// an hour, as heartbeats that nobody answers fill no buffer (tcp(7), TCP_USER_TIMEOUT).
func giveUp(c net.Conn, after time.Duration) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // without it the connection ends later
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
}
