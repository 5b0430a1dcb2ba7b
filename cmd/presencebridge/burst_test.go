package main

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk"
	"github.com/presencebridge/presencebridge/pkg/connector/connectortest"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

const (
	burstUsers  = 50_000 // with two extensions each
	burstEvents = 100_000
)

// hanging is a store that takes everything and keeps nothing, and can hang.
type hanging struct {
	bridge.Store
	hang chan struct{} // closed: it works
	kept map[presence.UserID]presence.TypeID
}

func (s *hanging) Load(context.Context) (store.State, error) { return store.State{Clean: true}, nil }
func (s *hanging) Users(context.Context) iter.Seq2[store.User, error] {
	return func(func(store.User, error) bool) {}
}
func (s *hanging) History(context.Context, store.Query) ([]store.Entry, error) {
	return nil, nil
}
func (s *hanging) Close(context.Context, bool) error                   { return nil }
func (s *hanging) Prune(context.Context, time.Time) (n int64, e error) { return 0, nil }

func (s *hanging) Save(_ context.Context, b *store.Batch) error {
	<-s.hang
	for _, u := range b.Users {
		if u.Status != nil {
			s.kept[u.ID] = u.Status.Type.ID
		}
	}
	return nil
}

func burstMapping() *presence.Mapping {
	var list []presence.StatusType
	for _, s := range []presence.State{presence.Available, presence.Away, presence.DND} {
		list = append(list, presence.StatusType{ID: presence.TypeID(s.String()), Name: s.String(), Base: presence.Connected, Asterisk: &presence.Image{State: s}})
	}
	types := presence.NewTypes(list, nil)
	policy := &presence.Policy{Sync: true, Incoming: presence.Latest, Outgoing: presence.ToAll, Types: types, Ranks: presence.NewRanks(types, nil)}
	m := &presence.Mapping{Types: types}
	for i := range burstUsers {
		r := &presence.Rules{Policy: policy, Extensions: []presence.ExtensionID{{PBX: "main", Number: fmt.Sprint(2 * i)}, {PBX: "main", Number: fmt.Sprint(2*i + 1)}}}
		m.Users = append(m.Users, presence.MappedUser{ID: presence.UserID(fmt.Sprint("user-", i)), Name: "User", Rules: r})
	}
	return m
}

// TestABurstWhileTheStoreHangsIsReadAtOnceAndLosesNothing runs in a bubble, where
// time passes only while everybody waits. The connections hold not a byte, and the PBX
// cuts off whoever keeps it waiting for 100 ms. So if the reader waited for the loop, or
// the loop for the store, not everything would be shown before any time has passed, or
// the session would end.
func TestABurstWhileTheStoreHangsIsReadAtOnceAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line connectortest.Exchange
		pbx := pbxsim.New(pbxsim.Config{Listen: line.Listen, CommitEvery: -1})
		if err := pbx.Start(); err != nil {
			t.Fatal(err)
		}
		defer pbx.Stop()
		set := func(i int, state presence.State) {
			if err := pbx.Set(fmt.Sprint("CustomPresence:", i%(2*burstUsers)), state.String(), "", ""); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 * burstUsers {
			set(i, presence.Available)
		}
		c, err := asterisk.New(asterisk.Config{Name: "main", Instance: "a", Device: "PJSIP/{extension}", AMI: ami.Config{
			Address: "pbx.example:5038", Username: "bridge", Secret: ami.NewSecret("bridge-secret"), Dial: line.Dial,
		}}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		kept := &hanging{hang: make(chan struct{}), kept: map[presence.UserID]presence.TypeID{}}
		close(kept.hang)
		b, err := bridge.Open(t.Context(), bridge.Options{
			Mapping: burstMapping(), PBXs: []bridge.PBXConnector{{Name: "main", Connector: c}}, Store: kept, Log: zap.NewNop(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		time.Sleep(20 * time.Second)
		for i := range 2 * burstUsers { // what is remembered of whoever has changed once is no matter of the burst
			set(i, presence.Away)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		before := live()

		kept.hang = make(chan struct{})
		for i := range burstEvents {
			set(7*i, []presence.State{presence.DND, presence.Available, presence.Away}[i%3])
			if i%10 == 0 {
				if err := pbx.SetDevice(fmt.Sprint("PJSIP/", i%(2*burstUsers)), "RINGING"); err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait() // everybody waits: all that can be done without time has been
		want := map[presence.UserID]presence.TypeID{}
		wrong, rang := 0, 0
		everybody, _ := b.Users("")
		for u := range everybody {
			want[u.ID] = u.Status.Type
			for _, x := range u.Extensions {
				if x.Presence.State.String() != mustGet(t, pbx, x.Extension) {
					wrong++
				}
			}
			if u.Phone == presence.PhoneRinging {
				rang++
			}
		}
		if wrong > 0 || rang != burstEvents/10 {
			t.Errorf("%d extensions are not shown as the PBX has them, %d phones ring", wrong, rang)
		}
		time.Sleep(time.Minute)
		grown := live() / before
		t.Logf("grown to %.2f of %.0f MB", grown, before/1e6)
		if grown > 1.2 {
			t.Errorf("after a minute without a store the bridge holds %.2f of what it held before, %.0f MB", grown, before/1e6)
		}
		close(kept.hang)
		time.Sleep(10 * time.Second)
		if h := c.Health(); h.Sessions != 1 || !h.Ready || h.Malformed != 0 {
			t.Errorf("health %+v", h)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for id, status := range want {
			if kept.kept[id] != status {
				t.Fatalf("the store has %s as %s, want %s", id, kept.kept[id], status)
			}
		}
	})
}

func mustGet(t *testing.T, pbx *pbxsim.PBX, number string) string {
	t.Helper()
	c, ok := pbx.Get("CustomPresence:" + number)
	if !ok {
		t.Fatalf("the PBX has no %s", number)
	}
	return c.State
}

// live is what the heap holds, in bytes.
func live() float64 {
	runtime.GC()
	runtime.GC() // finalizers and pools need a second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
