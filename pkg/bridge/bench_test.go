package bridge

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// BenchmarkEvent is the way of an event through the owner loop: report, decision,
// page, line of the history. The commit is another goroutine's.
func BenchmarkEvent(b *testing.B) {
	w := newWorld(b, "alice 1001 1002")
	w.opt.Mapping, w.opt.Store, w.opt.Log = w.mapping, w.store, zap.NewNop()
	br, err := Open(b.Context(), w.opt)
	if err != nil {
		b.Fatal(err)
	}
	br.report(&connector.Report{Kind: connector.Snapshot, PBX: "main", Session: 1, First: true, Incarnation: "life 1"})
	var events []connector.Report
	for _, p := range []presence.Presence{away, dnd, lunch} {
		events = append(events, changed("1001", p), changed("1002", p))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		br.report(&events[i%len(events)])
		br.board.announce()
		br.saver.history = br.saver.history[:0] // as a commit does
	}
}

// BenchmarkRepeat is an event that changes nothing.
func BenchmarkRepeat(b *testing.B) {
	w := newWorld(b, "alice 1001 1002")
	w.opt.Mapping, w.opt.Store, w.opt.Log = w.mapping, w.store, zap.NewNop()
	br, err := Open(b.Context(), w.opt)
	if err != nil {
		b.Fatal(err)
	}
	br.report(&connector.Report{Kind: connector.Snapshot, PBX: "main", Session: 1, First: true, Incarnation: "life 1"})
	event := changed("1001", away)
	b.ReportAllocs()
	for b.Loop() {
		br.report(&event)
	}
}

func BenchmarkInboxPut(b *testing.B) {
	for _, behind := range []bool{false, true} {
		b.Run(fmt.Sprintf("behind=%v", behind), func(b *testing.B) {
			var events []connector.Report
			for i := range 2000 {
				events = append(events, changed(fmt.Sprint(i%1000), []presence.Presence{away, dnd}[i/1000]))
			}
			in, spare := newInbox(time.Now()), []connector.Report(nil)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				in.put(events[i%len(events)])
				if !behind && i%1000 == 999 {
					spare = in.take(spare)
				}
			}
		})
	}
}
