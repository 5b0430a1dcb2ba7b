package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
	"github.com/presencebridge/presencebridge/pkg/store/sqlite"
)

// perUser is how many extensions every user has.
const perUser = 2

func userID(i int) presence.UserID { return presence.UserID(fmt.Sprintf("user-%06d", i)) }

// mapping gives so many users the extensions of the simulated Asterisk, with
// latest and all, as the sample does.
func mapping(users int) *presence.Mapping {
	image := func(s presence.State, subtype string) *presence.Image {
		return &presence.Image{State: s, Subtype: subtype}
	}
	types := presence.NewTypes([]presence.StatusType{
		{ID: "available", Name: "Available", Base: presence.Connected, Color: "#2e7d32", Asterisk: image(presence.Available, "")},
		{ID: "lunch", Name: "Lunch", Base: presence.Absent, Color: "#ef6c00", Asterisk: image(presence.Away, "lunch")},
		{ID: "dnd", Name: "Do not disturb", Base: presence.Busy, Color: "#b71c1c", Asterisk: image(presence.DND, "")},
	}, nil)
	ranks := presence.NewRanks(types, nil)
	policy := &presence.Policy{Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Types: types, Ranks: ranks}
	m := &presence.Mapping{Types: types}
	for i := range users {
		r := &presence.Rules{Policy: policy}
		for k := range perUser {
			r.Extensions = append(r.Extensions, presence.ExtensionID{PBX: "main", Number: number(perUser*i + k)})
		}
		m.Users = append(m.Users, presence.MappedUser{ID: userID(i), Name: fmt.Sprintf("User Number %d", i), Rules: r})
	}
	return m
}

// account is how the simulated and the real Asterisk are entered.
func account(addr string) ami.Config {
	return ami.Config{Address: addr, Username: "bridge", Secret: ami.NewSecret("bridge-secret")}
}

// asteriskAt is a connector for the PBX at an address.
func asteriskAt(tb testing.TB, addr string) bridge.PBXConnector {
	tb.Helper()
	return asteriskWith(tb, addr, asterisk.Config{})
}

// asteriskWith is one with settings beside the address.
func asteriskWith(tb testing.TB, addr string, cfg asterisk.Config) bridge.PBXConnector {
	tb.Helper()
	cfg.Name, cfg.Instance, cfg.AMI = "main", "bench", account(addr)
	c, err := asterisk.New(cfg, zap.NewNop())
	check(tb, err)
	return bridge.PBXConnector{Name: "main", Connector: c}
}

// rig is a running bridge with everything behind it.
type rig struct {
	tb     testing.TB
	users  int
	bridge *bridge.Bridge
	store  *busy
	stop   func()
}

// openStore opens the store in a folder.
func openStore(tb testing.TB, dir string) bridge.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(dir, "bench.db"), zap.NewNop())
	check(tb, err)
	return st
}

// open makes a bridge that does not run yet.
func open(tb testing.TB, users int, pbx bridge.PBXConnector, st bridge.Store) *rig {
	tb.Helper()
	kept := &busy{Store: st}
	b, err := bridge.Open(tb.Context(), bridge.Options{
		Mapping: mapping(users), PBXs: []bridge.PBXConnector{pbx}, Store: kept, Log: zap.NewNop(), SaveTimeout: 2 * time.Minute,
	})
	check(tb, err)
	return &rig{tb: tb, users: users, bridge: b, store: kept}
}

// busy is a store that can be asked since when it has had nothing to save.
type busy struct {
	bridge.Store
	last atomic.Int64 // the end of the last Save, in ns; 0: one is under way
}

func (s *busy) Save(ctx context.Context, batch *store.Batch) error {
	s.last.Store(0)
	defer func() { s.last.Store(time.Now().UnixNano()) }()
	return s.Store.Save(ctx, batch)
}

// settled waits until nothing is left to save, lines of the history included.
func (r *rig) settled() {
	r.tb.Helper()
	until(r.tb, "the store to be idle", func() bool {
		last := r.store.last.Load()
		return last != 0 && time.Now().UnixNano()-last > int64(500*time.Millisecond)
	})
}

// run starts the bridge.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.bridge.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			r.tb.Error(err)
		}
	}
}

// until waits for what will be so; looking costs next to nothing.
func until(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	within(tb, 0, what, so)
}

// within waits for no longer than limit; 0: two minutes.
func within(tb testing.TB, limit time.Duration, what string, so func() bool) {
	tb.Helper()
	if limit == 0 {
		limit = 2 * time.Minute
	}
	for end := time.Now().Add(limit); !so(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain for %s", what)
		}
	}
}

// decided waits until the last user's view is, whom a snapshot reaches last.
func (r *rig) decided() {
	r.tb.Helper()
	until(r.tb, "the snapshot", func() bool {
		u, err := r.bridge.User(userID(r.users - 1))
		return err == nil && u.Status != nil && u.Extensions[perUser-1].Reachable && u.Extensions[perUser-1].Presence != nil
	})
}

// saved waits until what is shown of everybody is in the store.
func (r *rig) saved() {
	r.tb.Helper()
	for i := range r.users {
		until(r.tb, "the store", func() bool {
			u, err := r.bridge.User(userID(i))
			return err == nil && u.Saved
		})
	}
}

// shown is the digest of what every extension shows, to be the same as the PBX's own.
func (r *rig) shown() (d digest) {
	users, _ := r.bridge.Users("")
	for u := range users {
		for _, x := range u.Extensions {
			if p := x.Presence; p != nil {
				d.add(x.Extension, p.State.String(), p.Subtype, p.Message)
			}
		}
	}
	return d
}

// stored is the same of what the store in a folder has.
func stored(tb testing.TB, dir string) (d digest) {
	tb.Helper()
	for _, v := range storedViews(tb, dir) {
		for _, x := range v.Extensions {
			p := x.Shows.Presence()
			d.add(x.ID.Number, p.State.String(), p.Subtype, p.Message)
		}
	}
	return d
}

func storedViews(tb testing.TB, dir string) (all []presence.View) {
	tb.Helper()
	st := openStore(tb, dir)
	defer func() { check(tb, st.Close(tb.Context(), true)) }()
	for row, err := range st.Users(tb.Context()) {
		check(tb, err)
		var v presence.View
		check(tb, json.Unmarshal(row.View, &v))
		all = append(all, v)
	}
	return all
}

// agree compares what PBX and bridge show, and after its end what the store has.
func (r *rig) agree(sim *child, dir string) {
	r.tb.Helper()
	r.settled()
	r.agreeOn(sim.ask("sum"), dir)
}

// agreeOn is agree with a digest that is known.
func (r *rig) agreeOn(want, dir string) {
	r.tb.Helper()
	if got := fmt.Sprint(uint64(r.shown())); got != want {
		r.tb.Error("the bridge shows something else than the PBX")
	}
	r.stop()
	if got := fmt.Sprint(uint64(stored(r.tb, dir))); got != want {
		r.tb.Error("the store has something else than the PBX")
	}
}
