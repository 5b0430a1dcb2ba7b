package panel

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// chosen is a row that somebody has changed in the panel.
type chosen struct {
	key    string
	row    *row
	before row  // as it was before it was read
	first  bool // nothing was ever said of the user, nor of the row
}

// work reads what is new, if it shall, makes choices of it, and writes some of what is
// owed: the rest has to wait until news have been taken.
func (p *Panel) work(ctx context.Context, read bool) error {
	if read {
		if err := p.readTable(ctx); err != nil {
			return err
		}
	}
	if len(p.owing) > 0 {
		if err := p.write(ctx); err != nil {
			p.readAll = time.Time{} // what came of it only the rows tell
			return err
		}
	}
	return p.remember(ctx, p.outdated)
}

// reading is what one reading says of a key.
type reading struct {
	name  string
	value Value
	rows  int
}

// readTable reads the table, or what is new in it, and makes choices of what people chose.
func (p *Panel) readTable(ctx context.Context) error {
	now := p.cfg.Now()
	p.last, p.due = now, now.Add(p.cfg.Poll)
	everything := p.readAll.IsZero() || now.Sub(p.readAll) >= p.cfg.Full || now.Before(p.readAll)
	found := make(map[string]reading)
	limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	everything, err := p.table.read(limited, everything, func(key string, v Value) { p.find(found, key, v) })
	cancel()
	if err != nil {
		return err
	}
	if everything {
		p.readAll = now
		for key, r := range p.rows {
			r.twice = false
			r.retry(p.dir)
			p.touch(key, r)
		}
	}
	return p.choose(ctx, p.meet(found, everything))
}

// find notes a row that is a user's.
func (p *Panel) find(found map[string]reading, name string, v Value) {
	key := p.fold(name)
	if p.rows[key] == nil {
		return // nobody's in the mapping
	}
	f := found[key]
	found[key] = reading{name: name, value: v, rows: f.rows + 1}
}

// meet takes what was read, and returns what people chose.
func (p *Panel) meet(found map[string]reading, everything bool) (theirs []chosen) {
	for key, f := range found {
		r := p.rows[key]
		if r.twice = r.twice || f.rows > 1; r.twice {
			r.owing = false
			p.touch(key, r)
			p.complain("several rows of the panel's table are one user's, and are left alone", key, "make the column unique, or name another")
			continue
		}
		first := r.want == nil && !r.kept
		if e := p.users[r.user]; first && p.dir.in && e != nil && !e.settled && p.cfg.Now().Sub(p.began) < p.cfg.Meet {
			p.readAll = time.Time{} // what the phones show comes first
			continue
		}
		before := *r
		r.name = f.name
		if r.reads(f.value, p.dir, everything) {
			theirs = append(theirs, chosen{key, r, before, first})
		}
		p.touch(key, r)
	}
	return theirs
}

// choose makes choices of what people chose. What could not be kept is read again.
func (p *Panel) choose(ctx context.Context, theirs []chosen) error {
	for i, c := range theirs {
		if err := p.chooseOne(ctx, c); err != nil {
			for _, c := range theirs[i:] {
				want := c.row.want
				*c.row = c.before
				c.row.want = want
				p.touch(c.key, c.row)
			}
			p.readAll = time.Time{}
			return err
		}
	}
	return nil
}

func (p *Panel) chooseOne(ctx context.Context, c chosen) error {
	says := c.row.memory.Shows
	id, known := p.typeOf(says.Status)
	if !known {
		c.row.strange()
		p.touch(c.key, c.row)
		p.complain("the panel's table has a status that the mapping does not, left as it is", says.Status, "add it under panel.values, or to the mapping")
		return nil
	}
	u, err := p.bridge.Choose(ctx, c.row.user, bridge.Choice{
		Type: id, Message: says.Message, By: "panel " + string(c.row.user), IfNone: c.first,
	})
	var near *bridge.NearError
	switch {
	case err == nil:
		p.shows(&u)
		if p.rows[c.key] == c.row {
			c.row.memory.Strange = false
			c.row.owe(p.dir) // where it was overruled, or cut, the row says what is true
			p.touch(c.key, c.row)
		}
		return nil
	case errors.Is(err, bridge.ErrPending) && ctx.Err() == nil, errors.As(err, &near):
		return nil // it is shown, or the mapping has just lost it
	}
	return err
}

// typeOf finds what the panel calls a status.
func (p *Panel) typeOf(status string) (presence.TypeID, bool) {
	if id, ok := p.types[status]; ok {
		return id, true
	}
	for _, t := range p.bridge.Types() {
		if string(t.ID) == status {
			_, renamed := p.cfg.Values[t.ID]
			return t.ID, !renamed
		}
	}
	return "", false
}

const (
	maxTold  = 100 // complaints that are told apart
	maxQuote = 64  // characters of what they are about
)

// complain logs something once.
func (p *Panel) complain(what, about, hint string) {
	if r := []rune(about); len(r) > maxQuote {
		about = string(r[:maxQuote]) + "..."
	}
	id := what + about
	if _, told := p.told[id]; told || len(p.told) == maxTold {
		return
	}
	p.told[id] = struct{}{}
	p.log.Warn(what, zap.String("value", about), zap.String("hint", hint))
}

// write writes some of what is owed. What somebody has changed since it was read is not
// written over, but read.
func (p *Panel) write(ctx context.Context) error {
	keys := make([]string, 0, min(len(p.owing), batchRows))
	asked := make(map[string]*row, cap(keys))
	for key, r := range p.owing {
		if len(keys) == batchRows {
			break
		}
		keys = append(keys, key)
		asked[key] = r
	}
	slices.Sort(keys) // two writers then wait for each other, and never in a circle
	batch := make([]change, len(keys))
	for i, key := range keys {
		r := asked[key]
		batch[i] = change{r.name, r.memory.Shows, r.asks()}
		p.touch(key, r)
	}
	if err := p.remember(ctx, asked); err != nil { // so that the writes are known for ours after a crash
		for key, r := range asked {
			r.memory.Asked = nil
			r.owe(p.dir)
			p.touch(key, r)
		}
		return err
	}
	return p.send(ctx, keys, batch)
}

// send writes a batch; where the database refuses it, row by row, so that one value that
// it does not take keeps nobody else from being written.
func (p *Panel) send(ctx context.Context, keys []string, batch []change) error {
	limited, cancel := context.WithTimeout(ctx, p.cfg.Write)
	defer cancel()
	written, err := p.table.write(limited, batch)
	switch {
	case err == nil:
		return p.wrote(ctx, keys, batch, written)
	case ctx.Err() != nil || p.cfg.MayAct() != nil || p.table.db.PingContext(limited) != nil:
		return err // it is not the rows
	case len(batch) > 1:
		for i := range batch {
			if err := p.send(ctx, keys[i:i+1], batch[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if r := p.rows[keys[0]]; r != nil {
		r.refused()
		p.touch(keys[0], r)
	}
	p.complain("the panel's database does not take a status, tried again now and then: "+p.cfg.Explain(err).Error(), batch[0].to.Status,
		"give the status a value under panel.values that the column takes")
	return nil
}

// wrote takes what came of a batch, and reads the rows that somebody has changed.
func (p *Panel) wrote(ctx context.Context, keys []string, batch []change, written []bool) error {
	limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	defer cancel()
	found := make(map[string]reading)
	var failed error
	for i, key := range keys {
		r := p.rows[key]
		switch {
		case r == nil || r.memory.Asked == nil: // the mapping has lost it meanwhile
		case written[i]:
			r.wrote(p.dir)
			p.touch(key, r)
		case failed == nil:
			r.met = false // until it is there
			failed = p.table.readOne(limited, r.name, func(name string, v Value) { p.find(found, name, v) })
			if f, there := found[key]; there && f.rows == 1 && f.value == batch[i].from {
				delete(found, key) // it reads the same and does not compare the same: not again before everything is read
				r.refused()
				r.met = true
				p.touch(key, r)
				p.complain("a row of the panel's table cannot be written: it compares with nothing that it says", key, "see the types of its columns")
			}
		}
	}
	return errors.Join(failed, p.choose(ctx, p.meet(found, false)))
}

// remember saves what rows said, and were asked to say.
func (p *Panel) remember(ctx context.Context, rows map[string]*row) error {
	batch := make(map[string][]byte, min(len(rows), batchRows))
	var keys []string
	save := func() error {
		if len(batch) == 0 {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
		defer cancel()
		if err := p.store.SavePanelRows(limited, batch); err != nil {
			return err
		}
		for _, key := range keys {
			rows[key].outdated = false
			delete(p.outdated, key)
		}
		clear(batch)
		keys = keys[:0]
		return nil
	}
	for key, r := range rows {
		memory, err := json.Marshal(r.memory)
		if err != nil {
			return err // cannot be
		}
		batch[p.prefix+key] = memory
		if keys = append(keys, key); len(keys) == batchRows {
			if err := save(); err != nil {
				return err
			}
		}
	}
	return save()
}
