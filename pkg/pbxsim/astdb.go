package pbxsim

import (
	"context"
	"slices"
	"strings"
	"time"
)

// The families of the AstDB that are kept here, as keys begin.
const (
	customPresence = "CustomPresence/"
	customDevstate = "CustomDevstate/"
)

// row is a value of the AstDB, or that there was none.
type row struct {
	value string
	ok    bool
}

func (p *PBX) put(key, value string) {
	if _, dirty := p.undo[key]; !dirty {
		old, ok := p.db[key]
		p.undo[key] = row{old, ok}
	}
	p.db[key] = value
}

// rows returns the names in a family in the order of their keys.
func (p *PBX) rows(family string) (names []string) {
	for key := range p.db {
		if name, ok := strings.CutPrefix(key, family); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Commit makes everything written so far survive a Kill.
func (p *PBX) Commit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commit()
}

func (p *PBX) commit() { clear(p.undo) }

// rollback forgets what was not committed.
func (p *PBX) rollback() {
	for key, old := range p.undo {
		if old.ok {
			p.db[key] = old.value
		} else {
			delete(p.db, key)
		}
	}
	clear(p.undo)
}

// commitRegularly does what Asterisk's AstDB thread does once a second (main/db.c:1192).
func (p *PBX) commitRegularly(ended context.Context) {
	t := time.NewTicker(p.cfg.CommitEvery)
	defer t.Stop()
	for {
		select {
		case <-ended.Done():
			return
		case <-t.C:
			p.mu.Lock()
			if ended.Err() == nil { // not the commit that a Kill came just before
				p.commit()
			}
			p.mu.Unlock()
		}
	}
}
