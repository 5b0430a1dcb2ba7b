package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// This file steps the wall clock of a running bridge, as NTP or an administrator does
// that of a machine, while its monotonic clock goes on. The program has no way to be
// given another clock, and nobody else's shall step. So the bridge's own copy of the
// kernel's code that tells the time is changed, in its memory, as a debugger sets a
// breakpoint: what is written there no other process sees.

// errNoSteps is why clocks cannot be stepped here.
var errNoSteps = errors.New("stepping the clock of a process takes linux/amd64 and the right to trace it")

// steppedTime is __vdso_clock_gettime(clock %edi, *timespec %rsi) with an offset in
// seconds for what tells the time of day. A system call keeps both registers, and the
// rest that it uses is the callee's.
var steppedTime = []byte{
	0, 0, 0, 0, 0, 0, 0, 0, // the offset
	0xb8, 228, 0, 0, 0, // mov $SYS_clock_gettime, %eax
	0x0f, 0x05, //         syscall
	0x85, 0xff, //         test %edi, %edi      CLOCK_REALTIME
	0x74, 0x05, //         je add
	0x83, 0xff, 0x05, //   cmp $5, %edi         CLOCK_REALTIME_COARSE
	0x75, 0x0a, //         jne out
	0x48, 0x8b, 0x0d, 0xe1, 0xff, 0xff, 0xff, // add: mov offset(%rip), %rcx
	0x48, 0x01, 0x0e, //   add %rcx, (%rsi)
	0xc3, //               out: ret
}

const (
	offsetSize = 8    // of steppedTime
	jumpSize   = 5    // of what leads to it
	jump       = 0xe9 // by 32 bits, from its end on
)

// setClock makes the wall clock of the running bridge differ from the machine's by so
// many whole seconds. It lasts as long as the process does.
func (r *running) setClock(ahead time.Duration) error {
	r.t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return errNoSteps
	}
	c, err := openVDSO(r.cmd.Process.Pid)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: %w", errNoSteps, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = c.mem.Close() }()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.signal(syscall.SIGSTOP)
		pbxtest.Eventually(r.t, patience, "the bridge stops", c.stopped)
		err := c.set(ahead)
		r.signal(syscall.SIGCONT)
		if !errors.Is(err, errInTheWay) {
			return err
		}
	}
	return errInTheWay
}

// vdso is a process's copy of the code that tells the time.
type vdso struct {
	pid   int
	mem   *os.File
	entry int64 // of clock_gettime
	room  int64 // for steppedTime, which nothing else uses
}

func openVDSO(pid int) (*vdso, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	var from, to int64
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	if to == 0 {
		return nil, errors.New("the bridge has no vDSO")
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	c := &vdso{pid: pid, mem: mem}
	if err := c.find(from, to); err != nil {
		_ = mem.Close()
		return nil, err
	}
	return c, nil
}

// find finds the code and room at the end of its last page.
func (c *vdso) find(from, to int64) error {
	image := make([]byte, to-from)
	if _, err := c.mem.ReadAt(image, from); err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			c.entry = from + int64(s.Value)
		}
	}
	size := int64(len(steppedTime)+offsetSize-1) / offsetSize * offsetSize // so that the offset is aligned
	c.room = to - size
	room := image[int64(len(image))-size:]
	free := len(bytes.Trim(room, "\x00")) == 0 || bytes.Equal(room[offsetSize:len(steppedTime)], steppedTime[offsetSize:])
	if c.entry == 0 || !free {
		return fmt.Errorf("the vDSO is another one than was expected: clock_gettime at %#x, free room %v", c.entry, free)
	}
	return nil
}

// set writes the offset, and the first time the code. All threads have stopped.
func (c *vdso) set(ahead time.Duration) error {
	for _, thread := range c.threads("syscall") { // ends with where it stands
		fields := strings.Fields(thread)
		at, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return fmt.Errorf("a thread that has stopped is at %q: %w", thread, err)
		}
		if at > c.entry && at < c.entry+jumpSize {
			return errInTheWay
		}
	}
	code := bytes.Clone(steppedTime)
	binary.LittleEndian.PutUint64(code, uint64(ahead/time.Second))
	if _, err := c.mem.WriteAt(code, c.room); err != nil {
		return err
	}
	lead := []byte{jumpSize - 1: 0}
	lead[0] = jump
	binary.LittleEndian.PutUint32(lead[1:], uint32(c.room+offsetSize-c.entry-jumpSize))
	_, err := c.mem.WriteAt(lead, c.entry)
	return err
}

// errInTheWay says that a thread stands within what the jump replaces.
var errInTheWay = errors.New("the bridge never stops where its clock can be changed")

// stopped tells whether all threads have stopped.
func (c *vdso) stopped() bool {
	for range 2 { // a thread may have made another one before it stopped
		for _, thread := range c.threads("stat") {
			if _, after, _ := strings.Cut(thread, ") "); !strings.HasPrefix(after, "T") { // of the name; proc(5)
				return false
			}
		}
	}
	return true
}

// threads reads a file of every thread.
func (c *vdso) threads(name string) (texts []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", c.pid, name)) // the pattern is right
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil { // else the thread has ended
			texts = append(texts, string(text))
		}
	}
	return texts
}

// ofClocks are faults of every world; ofTwoClocks take two bridges. In make test
// TestClockFaults has them.
var (
	ofClocks = []trouble{
		{name: "bridge: its clock steps an hour ahead", do: clockSteps(time.Hour), long: true},
		{name: "bridge: its clock steps back an hour", do: clockSteps(-time.Hour), long: true},
		{name: "bridge: its clock steps to and fro", do: clockSteps(time.Hour, -time.Hour, 10*time.Minute, -time.Minute, time.Hour, 0), long: true},
		{name: "bridge: kill -9 while its clock was an hour ahead", do: killedAhead, long: true},
	}
	ofTwoClocks = []trouble{
		{name: "two bridges: the holder's clock steps", do: holderSteps, long: true},
		{name: "two bridges: the other's clock steps", do: otherSteps, long: true},
		{name: "two bridges: taken over by one whose clock is an hour off", do: takenOverOff, long: true},
	}
)

// clockSteps sets the clock of the bridge that acts by so much ahead of the machine's,
// one after the other, while people are at work. The last one stays until that bridge ends.
func clockSteps(aheads ...time.Duration) func(*world, *rand.Rand) string {
	return func(w *world, rng *rand.Rand) string {
		r := w.acting()
		for _, ahead := range aheads {
			if err := r.setClock(ahead); err != nil {
				return w.noSteps(err)
			}
			time.Sleep(between(rng, 300, 800))
		}
		return ""
	}
}

// killedAhead leaves times in the store that are yet to come.
func killedAhead(w *world, rng *rand.Rand) string {
	remark := clockSteps(time.Hour)(w, rng)
	r := w.acting()
	r.kill()
	w.people.died()
	r.start()
	return remark
}

// noSteps says that a fault was left out, where it can only be.
func (w *world) noSteps(err error) string {
	w.t.Helper()
	if errors.Is(err, errNoSteps) {
		return "left out: " + err.Error()
	}
	w.t.Fatal(err)
	return ""
}

// other is the bridge of two that is not r.
func (w *world) other(r *running) *running {
	if w.bridges[0] == r {
		return w.bridges[1]
	}
	return w.bridges[0]
}

// alone sees that r acts, and no other bridge, for long enough that all of them would
// have noticed: whoever waits looks each second, and who acts at every request.
func (w *world) alone(r *running) {
	w.t.Helper()
	for end := time.Now().Add(oneLook); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for i, b := range w.bridges {
			done, err := request(w.people.clients[i], http.MethodGet, "/api/v1/pbxs", nil, nil)
			if acts := done && err == nil; acts != (b == r) {
				w.t.Fatalf("bridge %d: acts %v, and the one that should is it: %v (%v)", i, acts, b == r, err)
			}
		}
		if code := r.status("/readyz"); code != http.StatusOK {
			w.t.Fatalf("the bridge that acts answers %d", code)
		}
	}
}

// holderSteps has nobody at work: each commit confirms that the bridge holds the store,
// and here only its beats do.
func holderSteps(w *world, _ *rand.Rand) string {
	r := w.acting()
	wake := w.people.rest()
	defer wake()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		if err := r.setClock(ahead); err != nil {
			return w.noSteps(err)
		}
		w.alone(r)
	}
	return ""
}

// oneLook is longer than who waits for a lease takes from one look at it to the next.
const oneLook = leaseTerm / 8 * 3 / 2

// otherSteps lets the holder stand meanwhile, for less than its lease: the other bridge has
// seen its last beat before the step, and may not take the step for the end of a term.
func otherSteps(w *world, _ *rand.Rand) string {
	r := w.acting()
	other := w.other(r)
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		r.signal(syscall.SIGSTOP)
		time.Sleep(oneLook)
		err := other.setClock(ahead)
		time.Sleep(oneLook)
		r.signal(syscall.SIGCONT)
		if err != nil {
			return w.noSteps(err)
		}
		w.alone(r)
	}
	return ""
}

// takenOverOff lets the holder die, and a bridge go on whose clock is an hour ahead or
// behind; then that one dies, and the first goes on by the machine's clock.
func takenOverOff(w *world, rng *rand.Rand) string {
	r := w.acting()
	ahead := time.Hour
	if rng.IntN(2) == 0 {
		ahead = -ahead
	}
	if err := w.other(r).setClock(ahead); err != nil {
		return w.noSteps(err)
	}
	for range 2 {
		r = w.acting()
		other := w.other(r)
		r.kill()
		w.people.died()
		pbxtest.Eventually(w.t, patience, "the other bridge takes over", func() bool { return other.status("/readyz") == http.StatusOK })
		r.start()
		w.alone(other)
	}
	return "by " + ahead.String()
}

// Every step of a clock once, in a short world of its own: a schedule of make test has
// only some of all faults. That a bridge whose clock is off takes over takes too long.
func TestClockFaults(t *testing.T) {
	if os.Getenv(chaosFor) != "" {
		t.Skip("TestFaults has them")
	}
	reals := pbxtest.Reals(t)
	if len(reals) == 0 {
		t.Skip("needs a real Asterisk, which make test installs")
	}
	for _, kind := range []struct {
		driver string
		faults []trouble
	}{{"sqlite", ofClocks}, {"postgres", ofTwoClocks[:2]}} {
		t.Run(kind.driver, func(t *testing.T) {
			t.Parallel()
			seed := uint64(wished(t, chaosSeed, 1))
			w := newWorld(t, reals[0], kind.driver, seed, wished(t, chaosUsers, 60))
			s := &schedule{world: w, rng: rand.New(rand.NewPCG(seed, 3)), faults: kind.faults, report: report{Seed: int(seed), Store: kind.driver, Asterisk: w.pbx.Version(), Users: len(w.people.people)}}
			s.run(func(n int, _ time.Time) bool { return n < len(kind.faults) }, false)
			s.writes()
		})
	}
}
