//go:build !linux

package api

import "net"

// peer would say which process is at the other end; only Linux tells.
func peer(net.Conn) string { return "" }

// peerUser is not known here.
func peerUser(net.Conn) (uid uint32, ok bool) { return 0, false }
