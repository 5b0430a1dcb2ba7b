package bridge

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Drifting is an extension that is not known to show what it shall.
type Drifting struct {
	User      presence.UserID   `json:"user"`
	PBX       string            `json:"pbx"`
	Extension string            `json:"extension"`
	Presence  presence.Presence `json:"presence"` // what it shall show
	Since     presence.Time     `json:"since"`    // when that was wished
	Reachable bool              `json:"reachable"`
	Sent      bool              `json:"sent"`     // it has been written
	Refusals  int               `json:"refusals"` // of the PBX, in a row
}

// Drift are all such extensions.
type Drift struct {
	Count  int
	Oldest presence.Time // when the oldest wish was made; zero: there is none
	Items  []Drifting    // the oldest first, as many as were asked for at most
}

// driftPage is how many users with open wishes are looked at before events go on.
const driftPage = 2048

// drifters are the users with a wish that is not fulfilled. It belongs to the owner
// loop, and takes room only for those who have one.
type drifters struct {
	users      []*user
	place      map[*user]int // in users
	extensions atomic.Int64  // of them all that have such a wish; any goroutine reads it
}

// note keeps u while n of its extensions, 255 at most, have a wish.
func (d *drifters) note(u *user, n uint8) {
	before := u.wishes
	if n == before {
		return
	}
	u.wishes = n
	d.extensions.Add(int64(n) - int64(before))
	switch {
	case before == 0:
		if d.place == nil {
			d.place = map[*user]int{}
		}
		d.place[u] = len(d.users)
		d.users = append(d.users, u)
	case n == 0:
		i, last := d.place[u], len(d.users)-1
		moved := d.users[last]
		d.users[i], d.place[moved] = moved, i
		d.users[last], d.users = nil, d.users[:last]
		delete(d.place, u)
		if last == 0 && cap(d.users) > spareDrifters {
			d.users, d.place = nil, nil // a PBX that was away made everybody one
		}
	}
}

// spareDrifters is for how many users drifters keeps its room when it is empty.
const spareDrifters = 1024

// Drift returns what is wished and not known to be shown, and the oldest of that, as
// many as most.
func (b *Bridge) Drift(ctx context.Context, most int) (Drift, error) {
	found := Drift{}
	// From the end on: where somebody leaves, the last one takes the place, who has been
	// looked at by then. So nobody is missed, and who is seen twice is told once.
	for next := -1; next != 0; {
		err := b.run(ctx, func() {
			if n := len(b.drifters.users); next < 0 || next > n {
				next = n
			}
			from := max(0, next-driftPage)
			for _, u := range b.drifters.users[from:next] {
				found.add(u, most)
			}
			next = from
		})
		if err != nil {
			return Drift{}, err
		}
	}
	found.trim(most)
	found.Count = int(b.drifters.extensions.Load())
	return found, nil
}

// add notes the wishes of u, of which most are wanted.
func (d *Drift) add(u *user, most int) {
	for i := range u.view.Extensions {
		x := &u.view.Extensions[i]
		w := x.Wish
		if w == nil {
			continue
		}
		if d.Oldest.IsZero() || w.Since.Before(d.Oldest) {
			d.Oldest = w.Since
		}
		if most == 0 {
			continue
		}
		d.Items = append(d.Items, Drifting{
			User: u.mapped.ID, PBX: x.ID.PBX, Extension: x.ID.Number, Presence: w.Presence, Since: w.Since,
			Reachable: x.Session != 0, Sent: w.Sent, Refusals: w.Refusals,
		})
		if len(d.Items) >= 4*most {
			d.trim(most)
		}
	}
}

// trim leaves the oldest, each extension once.
func (d *Drift) trim(most int) {
	slices.SortFunc(d.Items, func(a, b Drifting) int {
		return cmp.Or(cmp.Compare(a.Since.Sub(b.Since), 0), cmp.Compare(a.PBX, b.PBX), cmp.Compare(a.Extension, b.Extension))
	})
	d.Items = slices.CompactFunc(d.Items, func(a, b Drifting) bool { return a.PBX == b.PBX && a.Extension == b.Extension })
	d.Items = d.Items[:min(most, len(d.Items))]
}
