package bridge

import (
	"iter"

	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// owners are the extensions of one PBX and whose they are. They are never changed: a
// mapping brings others.
type owners struct {
	numbers *connector.Numbers
	users   []*user // of each number, in the same order
}

// of returns whose extension a number is, nil if it is nobody's.
func (o *owners) of(number string) *user {
	i := o.numbers.Find(number)
	if i < 0 {
		return nil
	}
	return o.users[i]
}

// all yields everybody with an extension there. Those of one user stand together.
func (o *owners) all() iter.Seq[*user] {
	return func(yield func(*user) bool) {
		for i, u := range o.users {
			if (i == 0 || o.users[i-1] != u) && !yield(u) {
				return
			}
		}
	}
}

// distribute gives the extensions of the mapping to its users, and takes them from others.
// Connectors that want to know it are told which there are.
func (b *Bridge) distribute() {
	sizes := map[string]int{}
	for _, u := range b.users.users {
		for _, x := range u.mapped.Rules.Extensions {
			sizes[x.PBX]++
		}
	}
	numbers, users := map[string][]string{}, map[string][]*user{}
	for pbx, n := range sizes {
		numbers[pbx], users[pbx] = make([]string, 0, n), make([]*user, 0, n)
	}
	for _, u := range b.users.users {
		for _, x := range u.mapped.Rules.Extensions {
			numbers[x.PBX], users[x.PBX] = append(numbers[x.PBX], x.Number), append(users[x.PBX], u)
		}
	}
	for _, p := range b.pbxs {
		before := p.owners
		p.owners = owners{connector.NewNumbers(numbers[p.name]), users[p.name]}
		for i, number := range before.numbers.List() {
			if u := before.users[i]; p.owners.of(number) != u {
				b.disown(p, number, u)
			}
		}
		if f, wants := p.connector.(connector.Follower); wants {
			f.Follow(p.owners.numbers)
		}
	}
}

// disown takes an extension from u. Its next owner numbers writes behind those of
// u that are under way, so as not to take their answers for its own.
func (b *Bridge) disown(p *pbx, number string, u *user) {
	id := presence.ExtensionID{PBX: p.name, Number: number}
	p.outbox.drop(id)
	b.inbox.expect(id, nil)
	next := p.owners.of(number)
	if next != nil {
		next.view.Asks = max(next.view.Asks, u.view.Asks)
	}
	if next == nil || !next.mapped.Rules.Sync {
		if u.lit != 0 {
			p.unlight(number)
		}
		p.unpause(number)
	}
}
