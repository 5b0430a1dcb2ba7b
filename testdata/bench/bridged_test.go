package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// bridged is the whole bridge as a reader, with a store on the disk. It starts before
// its first reading and stays for the next ones, which have neither start nor login: a
// schema is made and 5,000 users are saved in the first.
type bridged struct {
	addr  string
	saved bool // a reading ends when everything is in the store, not when the last event is decided

	bridge   *bridge.Bridge // nil: not started
	pbx      *counting
	readings int
	stop     func() // nil as well then
}

// counting is a connector whose events are counted.
type counting struct {
	*asterisk.Connector
	opened chan struct{} // closed by the first snapshot
	count  int           // of the sink; read when the last event is decided
}

func (c *counting) Run(ctx context.Context, sink connector.Sink) error {
	return c.Connector.Run(ctx, func(r connector.Report) {
		if r.Kind == connector.Changed && r.Extension.Number != lastPhone {
			c.count++
		}
		sink(r)
		if r.Kind == connector.Snapshot && r.First {
			close(c.opened)
		}
	})
}

func (b *bridged) start(ctx context.Context) error {
	c, err := recordedPBX(b.addr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "presencebridge-bench-")
	if err != nil {
		return err
	}
	st, err := sqlite.Open(ctx, filepath.Join(dir, "bench.db"), zap.NewNop())
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	m := mapping(recordedPhones / perUser)
	m.Users = append(m.Users, presence.MappedUser{ID: "last", Name: "The last", Rules: &presence.Rules{
		Policy: m.Users[0].Rules.Policy, Extensions: []presence.ExtensionID{{PBX: "main", Number: lastPhone}},
	}})
	b.pbx = &counting{Connector: c, opened: make(chan struct{})}
	b.bridge, err = bridge.Open(ctx, bridge.Options{
		Mapping: m, PBXs: []bridge.PBXConnector{{Name: "main", Connector: b.pbx}}, Store: st, Log: zap.NewNop(),
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- b.bridge.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := errors.Join(<-ended, os.RemoveAll(dir)); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	<-b.pbx.opened
	return nil
}

func (b *bridged) end() {
	if b.stop != nil {
		b.stop()
	}
}

// read has the recording played and tells when it is through: when lastPhone shows what
// only this reading had it show, for the same again would be a repeat, which the inbox
// may make of others too when it merges.
func (b *bridged) read(ctx context.Context, addr string, k *kept) error {
	if b.bridge == nil {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	b.readings++
	tail := fmt.Sprintf("the end of reading %d", b.readings)
	b.pbx.count = 0
	if err := play(addr, tail); err != nil {
		return err
	}
	for through := false; !through; time.Sleep(200 * time.Microsecond) {
		u, err := b.bridge.User("last")
		if err != nil {
			return err
		}
		p := u.Extensions[0].Presence
		through = p != nil && p.Message == tail && (!b.saved || b.bridge.Figures().Store.Waiting == 0)
	}
	k.count = b.pbx.count
	k.told()
	users, _ := b.bridge.Users("")
	for u := range users {
		for _, x := range u.Extensions {
			if p := x.Presence; p != nil && p.State != presence.NotSet && x.Extension != lastPhone {
				k.state[x.Extension] = &texts{[]byte(p.State.String()), []byte(p.Subtype), []byte(p.Message)}
			}
		}
	}
	return nil
}
