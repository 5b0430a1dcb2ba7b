package store

import (
	"context"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

// ViewsAtOnce bounds how many users Views is asked for at a time.
const ViewsAtOnce = 256

// Views returns the rows of those of the users who have one, in no order, with id,
// version and view alone. There may be ViewsAtOnce ids.
func (r *Reads) Views(ctx context.Context, ids []presence.UserID) ([]User, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	users := make([]User, 0, len(ids))
	err := r.each(ctx, func(scan scanner) error {
		var u User
		err := scan(&u.ID, &u.Version, &u.View)
		users = append(users, u)
		return err
	}, `SELECT id, version, view FROM users WHERE id IN `+places(len(ids)), argsOf(ids)...)
	if err != nil {
		return nil, r.fail(ctx, "read users", err)
	}
	return users, nil
}

// Own returns what those of the users have set for themselves who have, in no order. There
// may be ViewsAtOnce ids.
func (r *Reads) Own(ctx context.Context, ids []presence.UserID) ([]Settings, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := r.someOwn(ctx, ` WHERE user_id IN `+places(len(ids)), argsOf(ids)...)
	if err != nil {
		return nil, r.fail(ctx, "read own settings", err)
	}
	return found, nil
}

// places are parameters of a list.
func places(n int) string { return `(?` + strings.Repeat(`, ?`, n-1) + `)` }

func argsOf(ids []presence.UserID) []any {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = string(id)
	}
	return args
}

// LastAct is the id of the newest line of the audit log; 0: there is none. While it
// stays, nobody has changed users of the mapping or tokens.
func (r *Reads) LastAct(ctx context.Context) (id int64, err error) {
	err = r.each(ctx, func(scan scanner) error { return scan(&id) }, `SELECT COALESCE(MAX(id), 0) FROM audit`)
	if err != nil {
		return 0, r.fail(ctx, "read the audit log", err)
	}
	return id, nil
}
