package bridge

import (
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// pause tells the connectors whether queues shall send calls to u's extensions. anew
// says that they may be others than before, or be left alone now: of who is left alone
// nothing stays paused.
func (b *Bridge) pause(u *user, anew bool) {
	follows := u.mapped.Rules.Sync
	var why *presence.StatusType
	if follows {
		why = u.view.Pauses()
	}
	if why == u.pauses && !anew {
		return
	}
	if b.opt.MayAct() != nil {
		b.unlit = true
		return
	}
	u.pauses = why
	for i := range u.view.Extensions {
		x := u.view.Extensions[i].ID
		switch queues, ok := b.pbxs[x.PBX].connector.(connector.Queues); {
		case !ok:
		case !follows:
			queues.Unpause(x.Number)
		case why == nil:
			queues.Pause(x.Number, "")
		default:
			queues.Pause(x.Number, why.Name)
		}
	}
}

// unpause ends what was paused of an extension that nobody has any more.
func (p *pbx) unpause(number string) {
	if queues, ok := p.connector.(connector.Queues); ok {
		queues.Unpause(number)
	}
}
