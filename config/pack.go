package config

import (
	"strings"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// pack moves what users are made of together. As it was read it lies scattered among
// what the reading leaves behind, which for 100,000 users is 400 MB, and memory of
// which a little is in use cannot be given back.
func pack(users []presence.MappedUser) {
	n, size := 0, 0
	each(users, func(s *string) { size += len(*s) })
	for _, u := range users {
		n += len(u.Rules.Extensions)
	}
	var texts strings.Builder
	texts.Grow(size)
	rules, ids := make([]presence.Rules, len(users)), make([]presence.ExtensionID, 0, n)
	for i := range users {
		rules[i] = *users[i].Rules
		start := len(ids)
		ids = append(ids, rules[i].Extensions...)
		rules[i].Extensions = ids[start:len(ids):len(ids)]
		users[i].Rules = &rules[i]
	}
	each(users, func(s *string) {
		texts.WriteString(*s)
		*s = texts.String()[texts.Len()-len(*s):]
	})
}

// each calls f with every text of the users that is theirs alone.
func each(users []presence.MappedUser, f func(*string)) {
	for i := range users {
		u := &users[i]
		id := string(u.ID)
		f(&id)
		u.ID = presence.UserID(id)
		f(&u.Name)
		f(&u.Email)
		for k := range u.Rules.Extensions {
			f(&u.Rules.Extensions[k].Number)
		}
	}
}
