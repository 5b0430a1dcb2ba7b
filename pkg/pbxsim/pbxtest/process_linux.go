package pbxtest

import (
	"os/exec"
	"syscall"
)

// dieWithUs makes the kernel end cmd when this process ends without cleaning up.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
