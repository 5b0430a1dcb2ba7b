// Package apitest has a bridge without phones, for tests of what stands in front
// of one: the API and the command line. It keeps its promises but decides little.
package apitest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// Bridge is an api.Bridge. Its exported fields are set before it is used.
type Bridge struct {
	Entries      []store.Entry // newest first
	StatusTypes  []presence.StatusType
	Conditions   []bridge.PBX
	Reasons      []bridge.Reason // why it is not ready
	Reloaded     bridge.Reloads
	Counted      bridge.Figures
	Drifts       bridge.Drift
	DriftErr     error
	ChooseErr    error
	ReloadErr    error
	ExplainErr   error
	HistoryErr   error
	Explanations map[presence.UserID]presence.Explanation

	mu      sync.Mutex
	now     time.Time
	users   []bridge.User
	ids     map[presence.UserID]uint64 // of each user's last feed item
	gone    map[presence.UserID]uint64 // the same of those that were removed
	last    uint64
	choices []bridge.Choice
	set     map[presence.UserID]bridge.Settings
	setBy   []string
	pages   map[presence.UserID]int
	reloads int
	feeds   int
	changed chan struct{} // closed and made anew at every change
}

// New returns a bridge with the users of this package and the clock at Now.
func New() *Bridge {
	b := &Bridge{
		Entries: History(), StatusTypes: Types(), Conditions: PBXs(), Explanations: Explanations(), Counted: Figures(), Drifts: Drift(),
		now: Now, ids: map[presence.UserID]uint64{}, gone: map[presence.UserID]uint64{}, set: map[presence.UserID]bridge.Settings{}, pages: map[presence.UserID]int{}, changed: make(chan struct{}),
	}
	for _, u := range Users() {
		b.Put(u)
	}
	return b
}

// Put makes u what it is now, and tells the feeds.
func (b *Bridge) Put(u bridge.User) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.put(u)
}

func (b *Bridge) put(u bridge.User) {
	if i := b.find(u.ID); i >= 0 {
		b.users[i] = u
	} else {
		b.users = append(b.users, u)
	}
	delete(b.gone, u.ID)
	b.ids[u.ID] = b.tell()
}

// Remove takes a user out of the mapping, and tells the feeds.
func (b *Bridge) Remove(id presence.UserID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.users = slices.DeleteFunc(b.users, func(u bridge.User) bool { return u.ID == id })
	b.gone[id] = b.tell()
}

// tell wakes the feeds for a new item and returns its id.
func (b *Bridge) tell() uint64 {
	b.last++
	close(b.changed)
	b.changed = make(chan struct{})
	return b.last
}

func (b *Bridge) find(id presence.UserID) int {
	return slices.IndexFunc(b.users, func(u bridge.User) bool { return u.ID == id })
}

// Users are the users behind after.
func (b *Bridge) Users(_ context.Context, after presence.UserID) (iter.Seq2[bridge.User, error], error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.find(after)
	if i < 0 && after != "" {
		_, err := b.user(after)
		return nil, err
	}
	users := slices.Clone(b.users[i+1:])
	return func(yield func(bridge.User, error) bool) {
		for _, u := range users {
			if !yield(u, nil) {
				return
			}
		}
	}, nil
}

// Count is how many there are.
func (b *Bridge) Count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.users)
}

// User is one user.
func (b *Bridge) User(_ context.Context, id presence.UserID) (bridge.User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.user(id)
}

func (b *Bridge) user(id presence.UserID) (bridge.User, error) {
	if i := b.find(id); i >= 0 {
		return b.users[i], nil
	}
	near := ""
	for _, u := range b.users {
		if id != "" && u.ID[0] == id[0] {
			near = string(u.ID)
		}
	}
	return bridge.User{}, &bridge.NearError{Err: bridge.ErrNoUser, Name: string(id), Near: near}
}

// Choose gives the user the status, unless the user's method is priority: then
// a phone overrules it.
func (b *Bridge) Choose(_ context.Context, id presence.UserID, c bridge.Choice) (bridge.User, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, err := b.user(id)
	if err != nil {
		return u, err
	}
	i := slices.IndexFunc(b.StatusTypes, func(t presence.StatusType) bool { return t.ID == c.Type })
	if i < 0 {
		return u, &bridge.NearError{Err: bridge.ErrNoStatus, Name: string(c.Type), Near: "lunch"}
	}
	if b.ChooseErr != nil {
		return u, b.ChooseErr
	}
	b.choices = append(b.choices, c)
	u.Version++
	if t := b.StatusTypes[i]; b.Explanations[id].Incoming != presence.Priority {
		u.Status = &bridge.UserStatus{Type: t.ID, Name: t.Name, Base: t.Base, Color: t.Color, Message: c.Message, Label: c.Label, Since: b.now, By: c.By}
		u.Last = &bridge.LastChange{At: presence.At(b.now), By: c.By, Rule: presence.WonLatest}
		if c.Until.IsZero() && !c.Open && t.Lasts > 0 {
			c.Until = b.now.Add(t.Lasts)
		}
		if !c.Until.IsZero() {
			u.Status.Until = &c.Until
		}
	}
	b.put(u)
	return u, nil
}

// Choices are what was chosen so far.
func (b *Bridge) Choices() []bridge.Choice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.choices)
}

// Settings are what was set, over a mapping that synchronises everybody.
func (b *Bridge) Settings(_ context.Context, id presence.UserID) (bridge.Settings, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.settings(id)
}

func (b *Bridge) settings(id presence.UserID) (bridge.Settings, error) {
	u, err := b.user(id)
	if err != nil {
		return bridge.Settings{}, err
	}
	s := b.set[id]
	s.Mapping.Sync = true
	for _, x := range u.Extensions {
		if x.Default {
			s.Mapping.Default = &presence.ExtensionID{PBX: x.PBX, Number: x.Extension}
		}
	}
	return s, nil
}

// Set keeps the settings, unless the extension is not the user's.
func (b *Bridge) Set(_ context.Context, id presence.UserID, c bridge.SettingsChange) (bridge.Settings, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.settings(id)
	if err != nil || b.ChooseErr != nil {
		return bridge.Settings{}, errors.Join(err, b.ChooseErr)
	}
	if c.SetDefault {
		if x := c.Default; x != nil && !slices.ContainsFunc(b.users[b.find(id)].Extensions, func(o bridge.UserExtension) bool { return o.PBX == x.PBX && o.Extension == x.Number }) {
			return s, fmt.Errorf("%w: %s is no extension of %s", bridge.ErrBadInput, x, id)
		}
		s.Default = c.Default
	}
	if c.SetSync {
		s.Sync = c.Sync
	}
	b.set[id] = s
	b.setBy = append(b.setBy, c.By)
	return s, nil
}

// SignedIn counts a page.
func (b *Bridge) SignedIn(id presence.UserID) (release func()) {
	b.count(id, 1)
	return sync.OnceFunc(func() { b.count(id, -1) })
}

func (b *Bridge) count(id presence.UserID, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pages[id] += by
}

// Pages tells how many pages a user has open.
func (b *Bridge) Pages(id presence.UserID) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages[id]
}

// SetBy are who has changed settings so far.
func (b *Bridge) SetBy() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.setBy)
}

// Explain explains the users of Explanations.
func (b *Bridge) Explain(ctx context.Context, id presence.UserID) (presence.Explanation, error) {
	if _, err := b.User(ctx, id); err != nil {
		return presence.Explanation{}, err
	}
	return b.Explanations[id], b.ExplainErr
}

// History is what of Entries the query selects.
func (b *Bridge) History(_ context.Context, q store.Query) ([]store.Entry, error) {
	return selected(slices.Values(b.Entries), q, func(e store.Entry) (presence.UserID, string, store.Place) {
		return e.User, e.By, store.Place{At: e.At, ID: e.ID}
	}), b.HistoryErr
}

// selected is what of lines a query selects. They come newest first.
func selected[T any](lines iter.Seq[T], q store.Query, of func(T) (presence.UserID, string, store.Place)) (found []T) {
	for line := range lines {
		user, by, place := of(line)
		begins, _ := strings.CutPrefix(by, q.By)
		switch {
		case q.User != "" && user != q.User, !q.From.IsZero() && place.At.Before(q.From), !q.To.IsZero() && !place.At.Before(q.To),
			q.By != "" && by != q.By && (begins == by || !strings.ContainsAny(begins[:1], " /")),
			!q.Before.At.IsZero() && (place.At.After(q.Before.At) || place.At.Equal(q.Before.At) && place.ID >= q.Before.ID),
			len(found) == q.Limit:
			continue
		}
		found = append(found, line)
	}
	return found
}

// Types are the StatusTypes.
func (b *Bridge) Types() []presence.StatusType { return b.StatusTypes }

// PBXs are the Conditions.
func (b *Bridge) PBXs() []bridge.PBX { return b.Conditions }

// Reloads are what is set.
func (b *Bridge) Reloads() bridge.Reloads { return b.Reloaded }

// Figures are what is Counted.
func (b *Bridge) Figures() bridge.Figures { return b.Counted }

// Drift is what Drifts.
func (b *Bridge) Drift(_ context.Context, most int) (bridge.Drift, error) {
	d := b.Drifts
	d.Items = d.Items[:min(most, len(d.Items))]
	return d, b.DriftErr
}

// NotReady are the Reasons.
func (b *Bridge) NotReady() []bridge.Reason { return b.Reasons }

// Reason is one of the bridge itself.
func Reason(text string, key ...message.Key) bridge.Reason {
	return bridge.ReasonOf(message.Message{Text: text, Key: message.Only(key)})
}

// Reload counts, and returns ReloadErr.
func (b *Bridge) Reload(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reloads++
	return b.ReloadErr
}

// AskedToReload tells how often Reload was called.
func (b *Bridge) AskedToReload() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reloads
}

// Feeds tells how many feeds are open.
func (b *Bridge) Feeds() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.feeds
}

// Subscribe follows the users.
func (b *Bridge) Subscribe(last uint64) api.Feed {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.feeds++
	if last > b.last {
		last = 0 // not ours
	}
	return &feed{b: b, seen: last}
}

type feed struct {
	b    *Bridge
	seen uint64
}

func (f *feed) Next(ctx context.Context) ([]bridge.FeedItem, error) {
	for {
		items, changed := f.news()
		if len(items) > 0 {
			return items, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *feed) news() (items []bridge.FeedItem, changed <-chan struct{}) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	for _, u := range f.b.users {
		if id := f.b.ids[u.ID]; id > f.seen {
			items = append(items, bridge.FeedItem{ID: id, User: &u})
		}
	}
	for name, id := range f.b.gone {
		if id > f.seen && f.seen > 0 {
			items = append(items, bridge.FeedItem{ID: id, User: &bridge.User{ID: name}, Gone: true})
		}
	}
	slices.SortFunc(items, func(a, b bridge.FeedItem) int { return int(a.ID) - int(b.ID) })
	if f.seen == 0 && len(items) > 0 {
		items[len(items)-1].Whole = true
	}
	f.seen = f.b.last
	return items, f.b.changed
}

func (f *feed) Close() {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	f.b.feeds--
}

// Faults is an error with a fault on each line.
type Faults []string

func (f Faults) Error() string { return strings.Join(f, "\n") }
