package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Preview tells whose status a mapping would change.
type Preview struct {
	Users int             `json:"users"` // who were looked at
	Total int             `json:"total"` // whose status would be another
	Items []PreviewChange `json:"items"` // the first of those, in the order of the mapping
}

// PreviewChange is what a mapping would make of one user's status.
type PreviewChange struct {
	User   presence.UserID `json:"user"`
	Name   string          `json:"name"`
	Before *UserStatus     `json:"before"` // nil: nothing was ever said
	After  *UserStatus     `json:"after"`
	Why    presence.Rule   `json:"why"` // the rule by which it would be that
}

// previewed is a copy of a user, and what there is beside the mapping.
type previewed struct {
	view  *presence.View
	rules *presence.Rules // with their own settings
	out   bool            // they have no page open
}

// decide does what a reload does, and returns the last rule by which the status changed.
func (p *previewed) decide(wall, now presence.Time, fx *presence.Effects) (why presence.Rule) {
	inputs := []presence.Input{{Kind: presence.Reloaded, Wall: wall}}
	if p.out && p.rules.Phones.AsksForPages() {
		inputs = append(inputs, presence.Input{Kind: presence.SignedOut, Wall: wall})
	}
	for i := range inputs {
		p.view.Step(&inputs[i], p.rules, now.Add(time.Duration(2*i)*time.Microsecond), fx)
		if n := len(fx.History); n > 0 {
			why = fx.History[n-1].Rule
		}
	}
	return why
}

// previewChunk is how many users are copied in one go: the owner loop does nothing else
// meanwhile.
const previewChunk = 500

// Preview decides every user anew by the rules of m, as Reload does, and changes
// nothing. At most so many users are listed. Users whom the bridge does not have yet
// are not looked at.
func (b *Bridge) Preview(ctx context.Context, m *presence.Mapping, most int) (Preview, error) {
	p := Preview{Items: []PreviewChange{}}
	b.board.mu.RLock()
	types := m.Types.WithRemoved(b.board.types.Lost(m.Types))
	b.board.mu.RUnlock()
	m = withTypes(m, types)
	var fx presence.Effects
	for users := range slices.Chunk(m.Users, previewChunk) {
		copies, now := make([]previewed, len(users)), presence.Time{}
		err := b.run(ctx, func() {
			now = b.clock.next()
			for i := range users {
				if u := b.users.of(users[i].ID); u != nil {
					copies[i] = previewed{u.view.Clone(), b.ownRules(&users[i]), b.isOut(users[i].ID)}
				}
			}
		})
		if err != nil {
			return Preview{}, err
		}
		for i, c := range copies {
			v := c.view
			if v == nil {
				continue
			}
			p.Users++
			before := v.Status
			why := c.decide(presence.At(b.opt.Now()), now, &fx)
			if !another(before, v.Status) {
				continue
			}
			if p.Total++; len(p.Items) < most {
				p.Items = append(p.Items, PreviewChange{User: users[i].ID, Name: users[i].Name, Before: renderStatus(before), After: renderStatus(v.Status), Why: why})
			}
		}
	}
	return p, nil
}

// another tells whether people would call a status another one: not for a new name or
// colour of its type.
func another(a, b *presence.Status) bool {
	if a == nil || b == nil {
		return a != b
	}
	return a.Type.ID != b.Type.ID || a.Message != b.Message || a.Removed != b.Removed
}
