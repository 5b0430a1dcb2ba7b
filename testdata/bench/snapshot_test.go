package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

const snapshotExtensions = 100_000

// drain logs in, asks for the list and counts its bytes: the least that anybody needs.
// Asterisk writes each item alone; whoever reads each at once takes the processor from
// it. A pause between the reads leaves it alone, and is the truer floor.
func drain(tb testing.TB, addr string, pause time.Duration) (took time.Duration, reads int) {
	tb.Helper()
	start := time.Now()
	nc, err := net.Dial("tcp", addr)
	check(tb, err)
	defer func() { _ = nc.Close() }()
	_, err = io.WriteString(nc, "Action: Login\r\nUsername: bridge\r\nSecret: bridge-secret\r\nEvents: off\r\n\r\nAction: PresenceStateList\r\n\r\n")
	check(tb, err)
	end, buf, tail := []byte("Event: PresenceStateListComplete"), make([]byte, 64<<10), 0
	for !bytes.Contains(buf[:tail], end) {
		// What may be half of the end stays for the next look.
		keep := min(tail, len(end))
		copy(buf, buf[tail-keep:tail])
		n, err := nc.Read(buf[keep:])
		check(tb, err)
		reads++
		if pause > 0 {
			time.Sleep(pause)
		}
		tail = keep + n
	}
	return time.Since(start), reads
}

// BenchmarkSnapshot takes 100,000 extensions from a PBX until every view is decided.
func BenchmarkSnapshot(b *testing.B) {
	b.Run("sim", func(b *testing.B) {
		sim := startChild(b, fmt.Sprint("sim ", snapshotExtensions))
		snapshots(b, sim.addr)
	})
	for _, f := range pbxtest.Reals(b) {
		b.Run(f.Name, func(b *testing.B) {
			p := f.Start(b, pbxtest.Options{})
			fill(b, p.Addr())
			snapshots(b, p.Addr())
		})
	}
}

// fill sets what the extensions of a real Asterisk show.
func fill(b *testing.B, addr string) {
	nc, err := net.Dial("tcp", addr)
	check(b, err)
	defer func() { _ = nc.Close() }()
	out := bufio.NewWriter(nc)
	_, err = out.WriteString("Action: Login\r\nUsername: phone\r\nSecret: phone-secret\r\nEvents: off\r\n\r\n")
	check(b, err)
	go func() { // ends with the connection
		for i := range snapshotExtensions {
			_, _ = fmt.Fprintf(out, "Action: Setvar\r\nVariable: PRESENCE_STATE(CustomPresence:%s)\r\nValue: %s,%d\r\n\r\n",
				number(i), values[i%len(values)], i)
		}
		_ = out.Flush()
	}()
	in := bufio.NewScanner(nc)
	for answers := 0; answers < snapshotExtensions+1 && in.Scan(); {
		if in.Text() == "Response: Success" {
			answers++
		}
	}
	check(b, in.Err())
}

func snapshots(b *testing.B, addr string) {
	disk := b.TempDir()
	figures := map[string]samples{}
	round := 0
	bridged := func() {
		round++
		dir := filepath.Join(disk, strconv.Itoa(round))
		check(b, os.Mkdir(dir, 0o700))
		for _, what := range []string{"first", "again"} {
			r := open(b, snapshotExtensions/perUser, asteriskAt(b, addr), openStore(b, dir))
			cpu, start := cpuTime(), time.Now()
			r.run()
			r.decided()
			figures[what] = append(figures[what], ms(time.Since(start)))
			figures[what+" cpu"] = append(figures[what+" cpu"], ms(cpuTime()-cpu))
			r.saved()
			r.settled()
			r.stop()
		}
	}
	drained := func() {
		for name, pause := range map[string]time.Duration{"drain": time.Millisecond, "eager drain": 0} {
			took, reads := drain(b, addr, pause)
			figures[name] = append(figures[name], ms(took))
			figures[name+", reads"] = append(figures[name+", reads"], float64(reads))
		}
	}
	for b.Loop() {
		drained()
		bridged()
		drained()
	}
	floor := figures["drain"].quantile(0.5)
	for _, what := range []string{"drain", "drain, reads", "eager drain", "eager drain, reads", "first", "first cpu", "again", "again cpu"} {
		b.Logf("| %s | %s | %.2f |", what, figures[what], figures[what].quantile(0.5)/floor)
	}
}
