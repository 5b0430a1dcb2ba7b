package panel

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// chosen is a row that somebody has changed in the panel.
type chosen struct {
	key    string
	row    *row
	before Memory
}

// work reads what is new, if it shall, makes choices of it, and writes what is owed.
func (p *Panel) work(ctx context.Context, read bool) error {
	if read {
		if err := p.read(ctx); err != nil {
			return err
		}
	}
	for len(p.owing) > 0 {
		if err := p.write(ctx); err != nil {
			p.readAll = time.Time{} // what came of it only the rows tell
			return err
		}
	}
	return p.remember(ctx, p.outdated)
}

// read reads the table, or what is new in it, and makes choices of what people chose.
func (p *Panel) read(ctx context.Context) error {
	now := p.cfg.Now()
	everything := p.readAll.IsZero() || now.Sub(p.readAll) >= p.cfg.Full || now.Before(p.readAll)
	var theirs []chosen
	limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	err := p.table.read(limited, everything, func(key string, v Value) { theirs = p.reads(key, v, theirs) })
	cancel()
	if err == nil && everything {
		p.readAll = now
	}
	return errors.Join(err, p.choose(ctx, theirs))
}

// reads takes one row, and adds it to theirs if somebody has changed it.
func (p *Panel) reads(key string, v Value, theirs []chosen) []chosen {
	r := p.rows[key]
	if r == nil {
		return theirs // nobody's in the mapping
	}
	before := r.memory
	if r.reads(v, p.dir) {
		theirs = append(theirs, chosen{key, r, before})
	}
	p.touch(key, r)
	return theirs
}

// choose makes choices of what people chose. What could not be kept is read again.
func (p *Panel) choose(ctx context.Context, theirs []chosen) error {
	for i, c := range theirs {
		if err := p.chooseOne(ctx, c); err != nil {
			for _, c := range theirs[i:] {
				c.row.undo(c.before)
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
		p.complain(c.key, says.Status)
		return nil
	}
	u, err := p.bridge.Choose(ctx, c.row.user, bridge.Choice{Type: id, Message: says.Message, By: "panel " + string(c.row.user)})
	var near *bridge.NearError
	switch {
	case err == nil:
		p.shows(&u)
		c.row.owe(p.dir) // where it was overruled, or cut, the row says what is true
		p.touch(c.key, c.row)
		return nil
	case errors.Is(err, bridge.ErrPending), errors.As(err, &near):
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

// maxStrange is how many values nobody understands are told apart.
const maxStrange = 100

// complain logs a value once. The row stays as it is until the user's status changes.
func (p *Panel) complain(key, status string) {
	if _, told := p.strange[status]; told || len(p.strange) == maxStrange {
		return
	}
	p.strange[status] = struct{}{}
	p.log.Warn("the panel's table has a status that the mapping does not, left as it is",
		zap.String("row", key), zap.String("status", status), zap.String("hint", "add it under panel.values, or to the mapping"))
}

// write writes some of what is owed. What somebody has changed since it was read is not
// written over, but read.
func (p *Panel) write(ctx context.Context) error {
	batch := make([]change, 0, min(len(p.owing), batchRows))
	asked := make(map[string]*row, cap(batch))
	for key, r := range p.owing {
		if len(batch) == batchRows {
			break
		}
		from := r.memory.Shows
		batch = append(batch, change{key, from, r.asks()})
		asked[key] = r
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
	limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
	defer cancel()
	written, err := p.table.write(limited, batch)
	if err != nil {
		return err
	}
	var theirs []chosen
	for i, c := range batch {
		r := asked[c.key]
		if written[i] {
			r.wrote(p.dir)
			p.touch(c.key, r)
			continue
		}
		r.met = false // until it is there
		if err := p.table.readOne(limited, c.key, func(key string, v Value) { theirs = p.reads(key, v, theirs) }); err != nil {
			return errors.Join(err, p.choose(ctx, theirs))
		}
	}
	return p.choose(ctx, theirs)
}

// remember saves what rows said, and were asked to say.
func (p *Panel) remember(ctx context.Context, rows map[string]*row) error {
	batch := make(map[string][]byte, min(len(rows), batchRows))
	save := func() error {
		if len(batch) == 0 {
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, p.cfg.Wait)
		defer cancel()
		if err := p.store.SavePanelRows(limited, batch); err != nil {
			return err
		}
		for key := range batch {
			rows[key].outdated = false
			delete(p.outdated, key)
		}
		clear(batch)
		return nil
	}
	for key, r := range rows {
		memory, err := json.Marshal(r.memory)
		if err != nil {
			return err // cannot be
		}
		if batch[key] = memory; len(batch) == batchRows {
			if err := save(); err != nil {
				return err
			}
		}
	}
	return save()
}
