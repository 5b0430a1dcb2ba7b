package bridge

import (
	"slices"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// light tells the connectors what the lamps of u's extensions shall show: what a page
// shows, calls over the status included. Who is left alone has none. anew says that
// the extensions may be others than before.
func (b *Bridge) light(u *user, anew bool) {
	base := presence.Base("")
	if u.mapped.Rules.Sync {
		base = presence.Connected
		if st := u.view.Status; st != nil && st.Type.Base != "" { // "": of a type that nobody knows any more
			base = st.Type.Base
		}
	}
	lit := uint8(1 + slices.Index(presence.Bases(), base))
	if lit == u.lit && (!anew || lit == 0) {
		return
	}
	if b.opt.MayAct() != nil {
		b.unlit = true
		return
	}
	u.lit = lit
	for i := range u.view.Extensions {
		x := u.view.Extensions[i].ID
		switch lamps, ok := b.pbxs[x.PBX].connector.(connector.Lamps); {
		case !ok:
		case lit == 0:
			lamps.Leave(x.Number)
		default:
			lamps.Light(x.Number, base)
		}
	}
}

// relight sets the lamps, and pauses the members of queues, that were left as they were
// while the bridge might not act.
func (b *Bridge) relight() {
	if !b.unlit || b.opt.MayAct() != nil {
		return
	}
	b.unlit = false
	for _, u := range b.users.users {
		b.light(u, true)
		b.pause(u, true)
	}
}

// unlight puts out the lamp of an extension that nobody has any more.
func (p *pbx) unlight(number string) {
	if lamps, ok := p.connector.(connector.Lamps); ok {
		lamps.Leave(number)
	}
}
