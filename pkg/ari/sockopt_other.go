//go:build !linux

package ari

import "syscall"

// setUserTimeout does nothing: only linux has it. Pings and write deadlines remain.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }
