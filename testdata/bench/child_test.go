package bench

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// child is this binary, run as something else. It answers each line with a line.
type child struct {
	tb   testing.TB
	addr string // where it listens
	in   io.WriteCloser
	out  *bufio.Reader
	wait func() error
}

// startChild starts a child that ends with the benchmark.
func startChild(tb testing.TB, kind string) *child {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+kind)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(tb, err)
	out, err := cmd.StdoutPipe()
	check(tb, err)
	check(tb, cmd.Start())
	c := &child{tb: tb, in: in, out: bufio.NewReader(out), wait: cmd.Wait}
	tb.Cleanup(c.end)
	c.addr = c.line()
	return c
}

// end ends it before the benchmark does, which does so again.
func (c *child) end() {
	_ = c.in.Close() // tells it to
	_ = c.wait()     // killed with the benchmark's context at the latest
}

func (c *child) line() string {
	c.tb.Helper()
	line, err := c.out.ReadString('\n')
	check(c.tb, err)
	return strings.TrimSpace(line)
}

// ask sends a command and returns its answer, which comes when it is done.
func (c *child) ask(format string, args ...any) string {
	c.tb.Helper()
	_, err := fmt.Fprintf(c.in, format+"\n", args...)
	check(c.tb, err)
	return c.line()
}
