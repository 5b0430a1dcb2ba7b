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
	in   io.Writer
	out  *bufio.Reader
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
	tb.Cleanup(func() {
		_ = in.Close() // tells it to end
		_ = cmd.Wait() // killed with the benchmark's context at the latest
	})
	c := &child{tb: tb, in: in, out: bufio.NewReader(out)}
	c.addr = c.line()
	return c
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
