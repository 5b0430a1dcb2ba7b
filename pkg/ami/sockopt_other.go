//go:build !linux

package ami

import "syscall"

// setUserTimeout does nothing: only linux has it. Pings and write deadlines remain.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
