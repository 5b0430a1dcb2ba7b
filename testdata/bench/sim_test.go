package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// values are what phones set in turn; a message travels with each.
var values = []string{"away,lunch", "dnd,", "available,"}

func number(i int) string { return strconv.Itoa(100_000 + i) }

// serveSim is a simulated Asterisk with so many extensions that obeys these lines:
//
//	rate R N   N events, R a second; 0: as fast as it can. A message is the time of its event in nanoseconds
//	drop       closes every connection
//	sum        answers with a digest of what every extension shows
//	stats      answers how many sessions there were, and how many were cut off
func serveSim(argument string) error {
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // it has to list millions within the time that its clients wait
	rows := make(map[string]string, n)
	for i := range n {
		rows[number(i)] = values[i%len(values)] + "," + strconv.Itoa(i)
	}
	sim := pbxsim.New(pbxsim.Config{AstDB: rows})
	if err := sim.Start(); err != nil {
		return err
	}
	fmt.Println(sim.Addr())
	in, written := bufio.NewReader(os.Stdin), 0
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var rate, count int
		switch c, _ := fmt.Sscanf(line, "rate %d %d", &rate, &count); {
		case err != nil:
			return err
		case c == 2:
			if err := press(sim, n, rate, written, count); err != nil {
				return err
			}
			written += count
			fmt.Println("done")
		case line == "drop\n":
			sim.Drop()
			fmt.Println("done")
		case line == "sum\n":
			fmt.Println(uint64(simDigest(sim, n)))
		case line == "stats\n":
			s := sim.Stats()
			fmt.Println(s.Sessions, s.CutOff, s.Events)
		default:
			return fmt.Errorf("no command: %q", line)
		}
	}
}

// press lets phones set presences. Pauses of a millisecond make the rate.
func press(sim *pbxsim.PBX, extensions, rate, from, count int) error {
	start := time.Now()
	for i := range count {
		if rate > 0 {
			if early := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))); early > 0 {
				time.Sleep(early)
			}
		}
		k := (from + i) * 7919 % extensions // neighbours do not press together
		now := time.Now().UnixNano()
		value := values[(from+i)%len(values)] + "," + strconv.FormatInt(now, 10)
		if err := sim.Write("CustomPresence:"+number(k), value); err != nil {
			return err
		}
	}
	return nil
}

func simDigest(sim *pbxsim.PBX, extensions int) (d digest) {
	for i := range extensions {
		c, _ := sim.Get("CustomPresence:" + number(i))
		d.add(number(i), c.State, c.Subtype, c.Message)
	}
	return d
}
