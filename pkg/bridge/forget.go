package bridge

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	// forgetStep bounds the users of one transaction.
	forgetStep = 1000
	// forgetTimeout bounds one, during which no mapping is taken over.
	forgetTimeout = 5 * time.Second
)

// forget removes who has not been in the mapping since before a time: of them there is no
// history any more either.
func (b *Bridge) forget(ctx context.Context, before time.Time) {
	forgotten := 0
	for {
		n, err := b.forgetSome(ctx, presence.At(before))
		forgotten += n
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrStopping) {
			b.log.Warn("users who have left the mapping are not removed from the store, trying again in an hour", zap.Error(err))
		}
		if err != nil || n < forgetStep {
			break
		}
	}
	if forgotten > 0 {
		b.log.Info("users removed from the store whom the mapping has lacked for as long as history is kept", zap.Int("users", forgotten))
	}
}

func (b *Bridge) forgetSome(ctx context.Context, before presence.Time) (int, error) {
	b.load.Lock() // nobody comes back meanwhile
	defer b.load.Unlock()
	ctx, cancel := context.WithTimeout(ctx, forgetTimeout)
	defer cancel()
	var gone []presence.UserID
	err := b.run(ctx, func() { gone = b.goneSince(before) })
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	if err := b.opt.Store.Forget(ctx, gone); err != nil {
		return 0, err
	}
	return len(gone), b.run(ctx, func() {
		for _, id := range gone {
			delete(b.parked, id)
			delete(b.own, id)
		}
	})
}

// goneSince are some of those who have been gone since before a time, and of whom nothing
// waits to be saved.
func (b *Bridge) goneSince(before presence.Time) (ids []presence.UserID) {
	for id, u := range b.parked {
		if u.view.Gone.IsZero() || !u.view.Gone.Before(before) || u.dirty {
			continue
		}
		if b.saver.has(u) {
			continue
		}
		if ids = append(ids, id); len(ids) == forgetStep {
			break
		}
	}
	return ids
}
