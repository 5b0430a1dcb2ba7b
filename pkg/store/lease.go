package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Lease is how bridges that share a database server agree on which of them acts.
// The table lease has one row: a token that rises whenever another bridge takes
// over, and a beat that rises while its holder lives.
//
// Nobody's wall clock counts. A bridge that waits takes over when it has seen the
// same token and beat for a whole term by its own steady clock, or at once where it can
// see that the holder's process has ended (life). The holder counts
// itself out when for three quarters of a term nothing has confirmed the lease, by
// its own. The token is checked within every transaction that writes, so that a
// bridge that was paused or cut off cannot write after another has taken over.
type Lease struct {
	DB     *sql.DB       // one connection, used for nothing else; closed with the store
	Holder string        // who we are, for the others' messages
	Boot   string        // what tells this machine since it was started from every other, such as the kernel's boot_id; "": unknown, and who has died is waited for
	Term   time.Duration // 0: 8 s

	// Waiting is told who has the store, and again when that changes, with what may be
	// read of it until Open returns an error or the store is closed. It must not keep the
	// wait up; its error ends it. nil: ErrInUse instead of a wait.
	Waiting Waiting
	// Retry tells whether an error may pass while this bridge waits. nil: none does.
	Retry func(error) bool
}

// Waiting is told by an Open that waits: see Lease.
type Waiting func(ctx context.Context, holder string, from *Reads) error

const (
	defaultTerm  = 8 * time.Second
	beatsPerTerm = 4 // of the holder
	looksPerTerm = 8 // of who waits

	// releaseWait is how long a stop waits for the release. Without it the next
	// bridge waits for a term, no more.
	releaseWait = time.Second

	// A name of a host has 64 signs at most. Behind them is the sign of life, where a version
	// that knows of none does not look.
	leaseStanding = `SELECT token, beat, RTRIM(LEFT(holder, 64)), SUBSTRING(holder, 65) FROM lease WHERE id = 1`
	leaseHolder   = "%-64.64s%s"
	leaseTake     = `UPDATE lease SET token = token + 1, beat = 0, holder = ? WHERE id = 1 AND token = ? AND beat = ?`
	leaseBeat     = `UPDATE lease SET beat = beat + 1 WHERE id = 1 AND token = ?`
	leaseRelease  = `UPDATE lease SET beat = beat + 1, holder = '' WHERE id = 1 AND token = ?`
)

// standing is the row of the table.
type standing struct {
	token, beat int64
	holder      string // "": nobody
	life        string // the sign of it; "": it cannot be seen
}

// lease is a Lease that a store holds.
type lease struct {
	Lease
	dialect *Dialect
	reads   *Reads
	log     *zap.Logger
	life    life
	token   int64
	stop    context.CancelFunc
	beating sync.WaitGroup

	mu        sync.Mutex
	confirmed time.Time // when the last beat or check that succeeded was sent
	lost      chan struct{}
	over      bool // lost is closed

	failing bool // of acquire: the last look or try did not succeed
}

// acquire returns once this bridge holds the lease, and keeps it up from then on.
func (l *lease) acquire(ctx context.Context) error {
	l.life = newLife(l.Boot)
	seen, err := l.look(ctx)
	if err != nil {
		return err
	}
	since, told := time.Now(), ""
	for {
		if seen.holder == "" || time.Since(since) >= l.Term || hasEnded(seen.life, l.Boot) {
			// A transaction that its paused holder has left open can be in the way
			// until the server ends it.
			took, err := l.take(ctx, seen)
			if took || err != nil && !l.goesOn(ctx, err) {
				return err
			}
		} else if l.Waiting != nil && told != seen.holder {
			told = seen.holder
			if err := l.Waiting(ctx, told, l.reads); err != nil {
				return err
			}
		}
		if err := sleep(ctx, l.Term/looksPerTerm); err != nil {
			return err
		}
		now, err := l.look(ctx)
		switch {
		case err != nil && !l.goesOn(ctx, err):
			return err
		case err != nil:
			since = time.Now() // its holder could not have renewed it either
			continue
		case now != seen && l.Waiting == nil && now.holder != "":
			return fmt.Errorf("%w: %s holds it; stop that one, or give this one a database of its own", ErrInUse, now.holder)
		case now != seen:
			seen, since = now, time.Now()
		}
		l.failing = false
	}
}

// goesOn tells whether a bridge that waits takes an error for one that passes.
func (l *lease) goesOn(ctx context.Context, err error) bool {
	if ctx.Err() != nil || l.Waiting == nil || l.Retry == nil || !l.Retry(err) {
		return false
	}
	if !l.failing {
		l.log.Warn("the store cannot be taken over now, trying on", zap.Error(err))
	}
	l.failing = true
	return true
}

func (l *lease) look(ctx context.Context) (s standing, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.Term/2)
	defer cancel()
	err = l.DB.QueryRowContext(ctx, leaseStanding).Scan(&s.token, &s.beat, &s.holder, &s.life)
	return s, err
}

// take takes the lease over from how it was last seen. It is false where that has
// changed meanwhile.
func (l *lease) take(ctx context.Context, seen standing) (bool, error) {
	start := time.Now()
	done, err := l.exec(ctx, leaseTake, fmt.Sprintf(leaseHolder, l.Holder, l.life.sign), seen.token, seen.beat)
	if err != nil || !done {
		return false, err
	}
	l.token, l.confirmed, l.lost = seen.token+1, start, make(chan struct{})
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.beating.Go(func() { l.beat(beating) })
	return true, nil
}

// exec tells whether the statement found the row as it was expected.
func (l *lease) exec(ctx context.Context, statement string, args ...any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.Term/2)
	defer cancel()
	r, err := l.DB.ExecContext(ctx, l.dialect.bind(statement), args...)
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// beat keeps the lease up until ctx ends or another bridge has it.
func (l *lease) beat(ctx context.Context) {
	failing := false
	for sleep(ctx, l.Term/beatsPerTerm) == nil {
		start := time.Now()
		held, err := l.exec(ctx, leaseBeat, l.token)
		switch {
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			l.log.Error("lease of the store not confirmed, trying on; after three quarters of its term nothing is written to a PBX", zap.Duration("term", l.Term), zap.Error(err))
		case err != nil:
		case !held:
			l.lose()
			return
		default:
			if failing {
				l.log.Info("lease of the store confirmed again")
			}
			failing = false
			l.confirm(start)
		}
	}
}

// confirm notes that the lease was still held after a moment.
func (l *lease) confirm(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.After(l.confirmed) {
		l.confirmed = at
	}
}

// isLost tells whether another bridge is known to have the lease.
func (l *lease) isLost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *lease) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.over = true
		close(l.lost)
	}
}

// held is nil while no other bridge can have the lease.
func (l *lease) held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return ErrLost
	}
	if age := time.Since(l.confirmed); age >= l.Term*3/4 {
		return fmt.Errorf("the database has not confirmed for %s that this bridge holds the store, so nothing is written to a PBX", age.Round(time.Second))
	}
	return nil
}

// check makes a transaction fail that another bridge's takeover came before, and
// keeps one from coming until the transaction ends. It is a beat rather than a
// locking read: servers that agree among themselves (Galera) see only writes collide.
func (l *lease) check(ctx context.Context, tx *sql.Tx) error {
	r, err := tx.ExecContext(ctx, l.dialect.bind(leaseBeat), l.token)
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		l.lose()
		return ErrLost
	}
	return err
}

// release lets the next bridge in at once, if this one still holds the lease.
func (l *lease) release() error {
	var err error
	if l.stop != nil {
		l.stop()
		l.beating.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), releaseWait)
		defer cancel()
		_, err = l.exec(ctx, leaseRelease, l.token)
	}
	return errors.Join(err, l.life.end(), l.DB.Close())
}

// sleep waits, unless ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
