package bridge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// ErrUnread says that a Standby cannot say anything of its users.
var ErrUnread = errors.New("the store cannot be read")

// StandbyStore is what a Standby reads.
type StandbyStore interface {
	// Views returns the rows of those of at most store.ViewsAtOnce users who have one.
	Views(ctx context.Context, ids []presence.UserID) ([]store.User, error)
	// Own returns what those of as many users have set for themselves who have.
	Own(ctx context.Context, ids []presence.UserID) ([]store.Settings, error)
	History(ctx context.Context, q store.Query) ([]store.Entry, error)
}

// Standby answers instead of a Bridge while another one has the store: from its own
// mapping, and from what the store says at the moment of the question. It decides
// nothing, keeps no user in memory, and knows nothing of a PBX. Its methods may be
// called from any goroutine.
type Standby struct {
	store StandbyStore
	pbxs  []string
	now   func() time.Time
	why   func() string // it does not act, in words

	mu      sync.RWMutex
	mapping *presence.Mapping // nil: not read yet
	places  map[presence.UserID]int
	counts  map[string]int // extensions of each PBX
}

// NewStandby makes a Standby for PBXs of these names. why says who acts. now may be nil.
func NewStandby(from StandbyStore, pbxs []string, why func() string, now func() time.Time) *Standby {
	if now == nil {
		now = time.Now
	}
	return &Standby{store: from, pbxs: pbxs, why: why, now: now}
}

// SetMapping makes m the mapping. Until there is one, there is an error instead of users.
func (s *Standby) SetMapping(m *presence.Mapping) {
	places, counts := make(map[presence.UserID]int, len(m.Users)), map[string]int{}
	for i := range m.Users {
		places[m.Users[i].ID] = i
		for _, x := range m.Users[i].Rules.Extensions {
			counts[x.PBX]++
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mapping, s.places, s.counts = m, places, counts
}

// Users are those behind a user in the order of the mapping, behind "" everybody. They
// are read in pieces while they are taken. An error ends them.
func (s *Standby) Users(ctx context.Context, after presence.UserID) (iter.Seq2[User, error], error) {
	m, at, err := s.find(after)
	if after == "" && m != nil {
		at, err = -1, nil
	}
	if err != nil {
		return nil, err
	}
	return func(yield func(User, error) bool) {
		for rest := m.Users[at+1:]; len(rest) > 0; {
			n := min(len(rest), store.ViewsAtOnce)
			users, err := s.read(ctx, m, rest[:n])
			if err != nil {
				yield(User{}, err)
				return
			}
			for i := range users {
				if !yield(users[i], nil) {
					return
				}
			}
			rest = rest[n:]
		}
	}, nil
}

// find returns the mapping and where in it a user stands. The error is a *NearError, or
// wraps ErrUnread.
func (s *Standby) find(id presence.UserID) (m *presence.Mapping, at int, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mapping == nil {
		return nil, 0, fmt.Errorf("%w: its users are being read for the first time", ErrUnread)
	}
	at, ok := s.places[id]
	if ok {
		return s.mapping, at, nil
	}
	ids := make([]presence.UserID, len(s.mapping.Users))
	for i := range s.mapping.Users {
		ids[i] = s.mapping.Users[i].ID
	}
	return s.mapping, 0, &NearError{ErrNoUser, string(id), string(presence.Nearest(string(id), ids))}
}

// read makes users of a piece of the mapping and of what the store says of them.
func (s *Standby) read(ctx context.Context, m *presence.Mapping, piece []presence.MappedUser) ([]User, error) {
	found, err := s.views(ctx, m, piece)
	if err != nil {
		return nil, err
	}
	users := make([]User, len(found))
	for i := range found {
		users[i] = found[i].shown().render()
	}
	return users, nil
}

// seen is a user as a standby knows one.
type seen struct {
	mapped presence.MappedUser // with what the user has set
	own    presence.Own
	view   *presence.View // nil: there is none
}

// views returns what the store says of a piece of the mapping, in its order.
func (s *Standby) views(ctx context.Context, m *presence.Mapping, piece []presence.MappedUser) ([]seen, error) {
	found, ids, places := make([]seen, len(piece)), make([]presence.UserID, len(piece)), make(map[presence.UserID]*seen, len(piece))
	for i := range piece {
		found[i].mapped, ids[i], places[piece[i].ID] = piece[i], piece[i].ID, &found[i]
	}
	rows, err := s.store.Views(ctx, ids)
	if err != nil {
		return nil, unread(ctx, err)
	}
	own, err := s.store.Own(ctx, ids)
	if err != nil {
		return nil, unread(ctx, err)
	}
	reader := presence.Reader{Types: m.Types}
	for i := range rows {
		v, err := reader.Read(rows[i].View)
		if err != nil {
			return nil, fmt.Errorf("the store's view of user %q cannot be read: %w", rows[i].ID, err)
		}
		if x := places[rows[i].ID]; x != nil {
			x.view = &v
		}
	}
	for i := range own {
		if x := places[own[i].User]; x != nil {
			x.own = own[i].Own
			x.mapped.Rules = x.own.Apply(x.mapped.Rules)
		}
	}
	return found, nil
}

// unread is an error of the store, unless nobody waits any more.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrUnread, err)
}

// shown is a user in the form of what a Bridge shows. The mapping may be newer than the
// view, or older.
func (x *seen) shown() *shown {
	v, rules := x.view, x.mapped.Rules
	s := &shown{user: &x.mapped, extensions: make([]shownExtension, len(rules.Extensions))}
	s.saved.Store(true)
	if v == nil {
		return s
	}
	s.status, s.under, s.version, s.phone = v.Status, v.Under, v.Version, v.Phone
	for i, id := range rules.Extensions {
		for j := range v.Extensions {
			if e := &v.Extensions[j]; e.ID == id {
				s.extensions[i] = shownExtension{known: e.Known, pending: e.Wish != nil, shows: e.Shows, since: e.Said.Since}
			}
		}
	}
	return s
}

// Count is how many users there are.
func (s *Standby) Count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.places)
}

// User returns one user. The error is a *NearError, or wraps ErrUnread.
func (s *Standby) User(ctx context.Context, id presence.UserID) (User, error) {
	m, at, err := s.find(id)
	if err != nil {
		return User{}, err
	}
	users, err := s.read(ctx, m, m.Users[at:at+1])
	if err != nil {
		return User{}, err
	}
	return users[0], nil
}

// Explain tells why a user's status is what the store says.
func (s *Standby) Explain(ctx context.Context, id presence.UserID) (presence.Explanation, error) {
	m, at, err := s.find(id)
	if err != nil {
		return presence.Explanation{}, err
	}
	found, err := s.views(ctx, m, m.Users[at:at+1])
	if err != nil {
		return presence.Explanation{}, err
	}
	v := found[0].view
	if v == nil {
		v = &presence.View{User: id}
	}
	now, rules := presence.At(s.now()), found[0].mapped.Rules
	// Who acts hears the PBXs, unless the view says since when it does not: nothing of it is old.
	v.Wake(now, func(string) presence.Time { return presence.Time{} })
	v.Step(&presence.Input{Kind: presence.Reloaded, Wall: now}, rules, now, &presence.Effects{})
	e := v.Explain(rules, now)
	e.Own = found[0].own.Explain(m.Users[at].Rules)
	return e, nil
}

// History returns lines of the history, the newest first.
func (s *Standby) History(ctx context.Context, q store.Query) ([]store.Entry, error) {
	lines, err := s.store.History(ctx, q)
	if err != nil {
		return nil, unread(ctx, err)
	}
	return lines, nil
}

// Types returns the status types of the mapping in its order.
func (s *Standby) Types() []presence.StatusType {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mapping == nil {
		return nil
	}
	return s.mapping.Types.List()
}

// PBXs returns every PBX in the order of the configuration, each with who is in touch
// with it. How many extensions are pending is not known.
func (s *Standby) PBXs() []PBX {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]PBX, len(s.pbxs))
	for i, name := range s.pbxs {
		list[i].Health = connector.Health{PBX: name, Reason: s.why()}
		list[i].Extensions = s.counts[name]
	}
	return list
}

// NotReady says who acts.
func (s *Standby) NotReady() []Reason {
	why := s.why()
	return []Reason{{Text: why, Told: []message.Message{{Text: why}}}}
}

// Reloads are none.
func (s *Standby) Reloads() Reloads { return Reloads{} }

// Figures are of nothing.
func (s *Standby) Figures() Figures {
	f := Figures{PBXs: make([]PBXFigures, len(s.pbxs))}
	for i, name := range s.pbxs {
		f.PBXs[i].PBX = name
	}
	return f
}

// Drift is not known.
func (s *Standby) Drift(context.Context, int) (Drift, error) { return Drift{}, ErrStandby }

// Settings are not told.
func (s *Standby) Settings(context.Context, presence.UserID) (Settings, error) {
	return Settings{}, ErrStandby
}

// Set refuses.
func (s *Standby) Set(context.Context, presence.UserID, SettingsChange) (Settings, error) {
	return Settings{}, ErrStandby
}

// SignedIn notes nothing: a standby has no pages.
func (s *Standby) SignedIn(presence.UserID) (release func()) { return func() {} }

// Choose refuses.
func (s *Standby) Choose(context.Context, presence.UserID, Choice) (User, error) {
	return User{}, ErrStandby
}

// Reload refuses.
func (s *Standby) Reload(context.Context) error { return ErrStandby }

// ErrStandby says that another bridge acts.
var ErrStandby = errors.New("this bridge is a standby")
