package bridge

import (
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// shown is what the API sees of a user, in a third of the bytes that a User takes: it
// is rendered when somebody looks. Neither it nor what it points to is ever changed, but
// for what the board notes in it: a copy for that would leave the room of everybody's
// record half used.
type shown struct {
	user       *presence.MappedUser
	status     *presence.Status // nil: nothing was ever said
	under      *presence.Status // what phones show status over; nil: they do not, or nothing was said
	last       *LastChange      // nil: none since the bridge started
	extensions []shownExtension // as those of the user's rules, in the same order
	version    uint64
	entry      uint64      // id of its newest entry in the feed, 0 once it is no longer shown; under the board's mutex
	saved      atomic.Bool // this version is in the store
	phone      presence.PhoneState
}

// shownExtension is one extension of a shown user.
type shownExtension struct {
	known     bool // the PBX has told what it shows
	reachable bool
	pending   bool
	shows     presence.Kept
	since     presence.Time // of what it said; zero: nothing
}

// look makes what the API shall see of u now. Owner loop only.
func look(u *user) *shown {
	v := &u.view
	s := &shown{
		user: u.mapped, status: v.Status, under: v.Under, last: u.last, version: v.Version, phone: v.Phone,
		extensions: make([]shownExtension, len(v.Extensions)),
	}
	s.saved.Store(v.Version == u.saved)
	for i := range v.Extensions {
		x := &v.Extensions[i]
		s.extensions[i] = shownExtension{known: x.Known, reachable: x.Session != 0, pending: x.Wish != nil, shows: x.Shows, since: x.Said.Since}
	}
	return s
}

// render makes a User of s.
func (s *shown) render() User {
	u := User{
		ID: s.user.ID, Name: s.user.Name, Email: s.user.Email, Version: s.version, Phone: s.phone, Saved: s.saved.Load(), Last: s.last,
		Status: renderStatus(s.status), Under: renderStatus(s.under),
		Extensions: make([]UserExtension, len(s.extensions)),
	}
	if l := s.user.Labels; l != nil {
		u.Tags, u.Groups = l.Tags, l.Groups
	}
	for i := range s.extensions {
		x, id := &s.extensions[i], s.user.Rules.Extensions[i]
		u.Extensions[i] = UserExtension{
			PBX: id.PBX, Extension: id.Number, Default: i == s.user.Rules.Default,
			Reachable: x.reachable, Since: optional(x.since), Pending: x.pending,
		}
		if x.known {
			shows := x.shows.Presence()
			u.Extensions[i].Presence = &shows
		}
	}
	return u
}

func renderStatus(st *presence.Status) *UserStatus {
	if st == nil {
		return nil
	}
	return &UserStatus{
		Type: st.Type.ID, Name: st.Type.Name, Base: st.Type.Base, Color: st.Type.Color, Message: st.Message, Label: st.Label,
		Since: st.Since.Time(), Until: optional(st.Until), By: st.By, Removed: st.Removed, Stale: st.Stale,
	}
}

func optional(t presence.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	std := t.Time()
	return &std
}
