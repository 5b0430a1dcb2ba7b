//go:build !linux

package pbxtest

import "os/exec"

// dieWithUs has no counterpart here.
func dieWithUs(*exec.Cmd) {}
