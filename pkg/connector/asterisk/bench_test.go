package asterisk_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// BenchmarkEvents measures the way of an event from a phone on the simulated PBX
// to the sink, the simulation included.
func BenchmarkEvents(b *testing.B) {
	sim, c := benchmarked(b, 100)
	const last = "the last"
	opened, seen := make(chan struct{}), make(chan struct{})
	stop := runBenchmark(b, c, func(r connector.Report) {
		switch {
		case r.Kind == connector.Snapshot && r.First:
			close(opened)
		case r.Kind == connector.Changed && r.Presence.Message == last:
			close(seen)
		}
	})
	<-opened
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		message := "Back at 2"
		if i == b.N-1 {
			message = last
		}
		if err := sim.Write(fmt.Sprint("CustomPresence:", i%100), "away,lunch,"+message); err != nil {
			b.Fatal(err)
		}
	}
	<-seen
	b.StopTimer()
	stop()
}

// BenchmarkFirstSnapshot measures from the dial to the first snapshot of 100,000 extensions.
func BenchmarkFirstSnapshot(b *testing.B) {
	_, c := benchmarked(b, 100_000)
	for b.Loop() {
		opened := make(chan struct{})
		stop := runBenchmark(b, c, func(r connector.Report) {
			if r.Kind == connector.Snapshot && r.First {
				close(opened)
			}
		})
		<-opened
		stop()
	}
}

func benchmarked(b *testing.B, extensions int) (*pbxsim.PBX, *asterisk.Connector) {
	b.Helper()
	rows := make(map[string]string, extensions)
	for i := range extensions {
		rows[fmt.Sprint(i)] = fmt.Sprintf("away,lunch,message %d", i%1000)
	}
	sim := pbxsim.New(pbxsim.Config{AstDB: rows})
	if err := sim.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(sim.Stop)
	numbers := slices.Collect(maps.Keys(rows))
	c, err := asterisk.New(asterisk.Config{
		Name: "main", Instance: "a",
		AMI: ami.Config{Address: sim.Addr(), Username: "bridge", Secret: ami.NewSecret("bridge-secret")},
	}, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	c.Follow(connector.NewNumbers(numbers))
	return sim, c
}

func runBenchmark(b *testing.B, c *asterisk.Connector, sink connector.Sink) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- c.Run(ctx, sink) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}
