package pbxsim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Change is a presence as an event tells it.
type Change struct {
	Presentity string // "CustomPresence:1001"
	State      string // Asterisk's word; "" when a row of the AstDB could not be read
	Subtype    string
	Message    string
}

// Buffers of Asterisk that cut without a word.
const (
	maxDecoded    = 255  // a text written with option e, in the event and the cache (func_presencestate.c:237)
	maxStored     = 1300 // a row read back (func_presencestate.c:253)
	maxPresentity = 79   // a presentity named by a row when the module loads (presencestate.c:358)
	maxGetvar     = 1023 // manager.c:3635
)

// states in the order that decides among several presentities (presencestate.c:154).
var states = []string{"not_set", "available", "unavailable", "chat", "away", "xa", "dnd"}

var errRefused = errors.New("refused")

// Set writes a presence as a phone would, texts in base64. It fails where
// Asterisk would refuse: a state it does not know, no provider loaded.
func (p *PBX) Set(presentity, state, subtype, message string) error {
	return p.Write(presentity, Value(state, subtype, message))
}

// Value is what is written to PRESENCE_STATE() so that all texts arrive whole.
func Value(state, subtype, message string) string {
	return state + "," + base64.StdEncoding.EncodeToString([]byte(subtype)) +
		"," + base64.StdEncoding.EncodeToString([]byte(message)) + ",e"
}

// Write writes a raw value as a dialplan would: Set(PRESENCE_STATE(presentity)=value).
func (p *PBX) Write(presentity, value string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	events, err := p.write(presentity, value)
	if err != nil {
		return fmt.Errorf("write %q to %s: %w", value, presentity, err)
	}
	p.publish(events)
	return nil
}

// Get returns what the AstDB has for a presentity, as Getvar would read it; ok
// is false where Asterisk calls it invalid.
func (p *PBX) Get(presentity string) (c Change, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read(presentity)
}

// write stores a value and returns the event to publish, if any.
// It is presence_write (func_presencestate.c:210).
func (p *PBX) write(presentity, value string) (event []Change, err error) {
	name, ok := rowName(presentity)
	if !p.provider || !ok || name == "" {
		return nil, errRefused
	}
	c, encoded, err := parseValue(value)
	if err != nil {
		return nil, err
	}
	c.Presentity = presentity
	p.put(customPresence+name, value)
	if c.State == "not_set" {
		// This one state goes the long way: the provider is asked again
		// (presencestate.c:344), which fails for a name with a slash.
		if c, ok = p.read(presentity); !ok {
			return nil, nil
		}
		return []Change{c}, nil
	}
	if encoded {
		c.Subtype, c.Message = decode(c.Subtype, maxDecoded), decode(c.Message, maxDecoded)
	}
	return []Change{c}, nil
}

// publish puts changes into the cache and, where the module is there to forward
// them, sends the events. Asterisk does not suppress what did not change.
func (p *PBX) publish(changes []Change) {
	for _, c := range changes {
		p.cache.put(c.Presentity, c)
		if !p.manager || p.faults.drop != nil && p.faults.drop(c) {
			continue
		}
		p.emit(event{presence: &c})
	}
}

// read asks the provider, not the cache (presencestate.c:149). Several
// presentities joined by & give the one that ranks highest.
func (p *PBX) read(presentity string) (best Change, ok bool) {
	rank := -1
	for one := range strings.SplitSeq(presentity, "&") {
		c, valid := p.readOne(one)
		if r := slices.Index(states, c.State); valid && r > rank {
			best, rank = c, r
		}
	}
	best.Presentity = presentity
	return best, rank >= 0
}

func (p *PBX) readOne(presentity string) (Change, bool) {
	name, ok := rowName(presentity)
	// A slash makes it the name of a channel, before the colon counts (presencestate.c:182).
	if !p.provider || !ok || strings.Contains(presentity, "/") {
		return Change{}, false
	}
	value, stored := p.db[customPresence+name]
	if !stored {
		return Change{State: "not_set"}, true
	}
	c, err := Parse(value)
	return c, err == nil
}

// loadProvider publishes every row in the order of their keys, before the
// provider is registered: what it would have to be asked for (not_set) is
// skipped (func_presencestate.c:841). So are names with a slash in 22.10;
// 16.28 frees their row twice instead.
func (p *PBX) loadProvider() {
	var changes []Change
	for _, name := range p.rows(customPresence) {
		c, err := Parse(p.db[customPresence+name])
		if err != nil {
			c = Change{}
		}
		if c.State == "not_set" || strings.Contains(name, "/") {
			continue
		}
		c.Presentity = cut("CustomPresence:"+name, maxPresentity)
		changes = append(changes, c)
	}
	p.publish(changes)
	p.provider = true
}

// rowName is the key in the AstDB: what follows the prefix, whose case is free.
func rowName(presentity string) (string, bool) {
	const prefix = "CustomPresence:"
	if len(presentity) < len(prefix) || !strings.EqualFold(presentity[:len(prefix)], prefix) {
		return "", false
	}
	return presentity[len(prefix):], true
}

// Parse reads what the AstDB has for a presentity, as Value makes it and as others do.
// The change has no Presentity. It fails where Asterisk would show nothing.
func Parse(value string) (Change, error) {
	c, encoded, err := parseValue(cut(value, maxStored))
	if encoded {
		c.Subtype, c.Message = decode(c.Subtype, maxStored), decode(c.Message, maxStored)
	}
	return c, err
}

// parseValue splits STATE,SUBTYPE,MESSAGE,OPTIONS. There are no quotes, a fifth
// field is ignored, and any fourth field with an e in it means base64: so a
// comma in a plain text is refused or garbles it (func_presencestate.c:165).
func parseValue(value string) (c Change, encoded bool, err error) {
	f := strings.SplitN(value, ",", 5)
	f = append(f, "", "", "")
	c = Change{State: strings.ToLower(f[0]), Subtype: f[1], Message: f[2]}
	if !slices.Contains(states, c.State) {
		return Change{}, false, errRefused
	}
	encoded = strings.Contains(f[3], "e")
	if f[3] != "" && !encoded {
		return Change{}, false, errRefused
	}
	return c, encoded, nil
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }
