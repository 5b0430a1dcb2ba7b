package asterisk

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	// provider is the only presence provider of Asterisk (funcs/func_presencestate.c).
	provider    = "CustomPresence:"
	placeholder = "{extension}"

	canaryPrefix = "presencebridge-"
	canarySuffix = "-canary"

	// maxName is the longest name that survives a restart (funcs/func_presencestate.c:858).
	maxName = 64
	// maxTexts bounds the texts that are kept so as not to be allocated again.
	maxTexts = 4096
)

// address is the template of a presentity.
type address struct{ before, after string } // around the extension, without the provider

func parseAddress(template string) (address, error) {
	if template == "" {
		template = provider + placeholder
	}
	name, ok := strings.CutPrefix(template, provider)
	before, after, found := strings.Cut(name, placeholder)
	if !ok || !found || !regexp.MustCompile(`^[A-Za-z0-9_.-]*$`).MatchString(before+after) {
		return address{}, fmt.Errorf("presentity %q: use %s, with letters, digits, dots, dashes or underscores around %s",
			template, provider+placeholder, placeholder)
	}
	return address{before, after}, nil
}

// presentity returns where the presence of an extension lives.
func (a address) presentity(number string) string { return provider + a.before + number + a.after }

// number returns the extension of a presentity, nil if it is none: Asterisk
// takes the provider in any case, and echoes it as typed (funcs/func_presencestate.c:218).
func (a address) number(presentity []byte) []byte {
	if len(presentity) <= len(provider) || !strings.EqualFold(string(presentity[:len(provider)]), provider) {
		return nil
	}
	name := presentity[len(provider):]
	n := len(name) - len(a.before) - len(a.after)
	if n < 1 || len(name) > maxName || !bytes.HasPrefix(name, []byte(a.before)) || !bytes.HasSuffix(name, []byte(a.after)) {
		return nil
	}
	if bytes.HasPrefix(name, []byte(canaryPrefix)) && bytes.HasSuffix(name, []byte(canarySuffix)) {
		return nil // ours, or another bridge's
	}
	for _, b := range name {
		if !plain(b) {
			return nil
		}
	}
	return name[len(a.before) : len(a.before)+n]
}

func plain(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '.' || b == '-'
}

// translator turns what a PresenceStateChange says into an extension and a
// presence. Numbers that somebody follows it takes from there, and texts it remembers,
// so that what repeats costs no memory. Only the reader uses it.
type translator struct {
	where   address
	device  deviceTemplate
	follows *atomic.Pointer[connector.Numbers] // of the connector
	escaped bool
	texts   map[string]string // canonical, by what was on the wire
}

func newTranslator(where address, device deviceTemplate, follows *atomic.Pointer[connector.Numbers]) *translator {
	return &translator{where: where, device: device, follows: follows, texts: make(map[string]string)}
}

// number returns the extension of a presentity, "" if it is none.
func (t *translator) number(presentity []byte) string {
	return t.shared(t.where.number(presentity))
}

// phone returns the extension of a device, "" if it is nobody's phone.
func (t *translator) phone(device []byte) string {
	return t.shared(t.device.number(device))
}

// shared returns a number that was found, which is somebody's or will be dropped. A PBX
// may be made to tell of numbers without end, so none is kept for its own sake.
func (t *translator) shared(found []byte) string {
	follows := t.follows.Load()
	if i := follows.Find(string(found)); i >= 0 {
		return follows.List()[i]
	}
	return string(found)
}

// presence returns what the headers say. ok is false where Asterisk itself has
// no valid state: then Status is empty (main/presencestate.c, INVALID).
func (t *translator) presence(status, subtype, message []byte) (p presence.Presence, ok bool) {
	state, ok := presence.ParseState(string(status))
	return presence.Presence{State: state, Subtype: t.text(subtype), Message: t.text(message)}, ok
}

func (t *translator) text(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	if text, ok := t.texts[string(raw)]; ok {
		return text
	}
	key := string(raw)
	text := key
	if t.escaped {
		text = ami.Unescape(key)
	}
	text, _ = presence.Cut(text)
	if len(t.texts) == maxTexts {
		clear(t.texts)
	}
	t.texts[key] = text
	return text
}

// escapes tells whether an AMI of that version escapes the texts of
// PresenceStateChange: since 2.8.0, Asterisk 13.5 (include/asterisk/manager.h:57).
func escapes(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return true // all that are still seen do
	}
	return major > 2 || major == 2 && minor >= 8
}
