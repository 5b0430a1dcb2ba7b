package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// readPhones reads what shows over a status while phones are in use.
func (c *compiler) readPhones(v value) *presence.Phones {
	o := v.object("in_call", "ringing", "offline", "offline_when")
	if v.missing() {
		return nil
	}
	when := readOfflineWhen(o)
	needed := o.has("in_call") || o.has("ringing") || when == presence.WhenDevices || when == presence.WhenBoth
	if followed := slices.ContainsFunc(c.pbxs, func(p PBX) bool { return p.Device != "" }); !followed && needed && len(c.pbxs) > 0 {
		v.warn("no PBX of presencebridge.yaml has a device, so that nobody tells what phones do", "set device there, for example "+defaultDevice)
	}
	return &presence.Phones{
		InCall:  c.readPhoneRule(o.at("in_call")),
		Ringing: c.readPhoneRule(o.at("ringing")),
		Offline: c.readPhoneRule(o.at("offline")),

		OfflineWhen: when,
	}
}

// readOfflineWhen reads what makes a user offline.
func readOfflineWhen(o object) presence.OfflineWhen {
	at := o.at("offline_when")
	otherwise := presence.WhenDevices
	if !o.has("offline") {
		otherwise = presence.WhenNever
	}
	when := presence.OfflineWhen(at.oneOf(string(otherwise), string(presence.WhenSignedOut), string(presence.WhenDevices), string(presence.WhenBoth), string(presence.WhenNever)))
	if when != presence.WhenNever && !o.has("offline") {
		at.fault("nothing says which status shows then", "write offline: with a status beside it")
	}
	return when
}

// readPhoneRule reads the id of a status, or {status, over, after, ttl}.
func (c *compiler) readPhoneRule(v value) presence.PhoneRule {
	if v.missing() {
		return presence.PhoneRule{}
	}
	status, rule := v, presence.PhoneRule{Over: []presence.Base{presence.Connected}}
	if v.isBlock() {
		o := v.object("status", "over", "after", "ttl")
		if status = o.at("status"); status.missing() && !status.broken {
			status.fault("nothing says which status shows", "name one of this mapping: "+either(c.typeIDs))
			return presence.PhoneRule{}
		}
		rule.Over = readOver(o.at("over"))
		rule.After = o.at("after").duration(0)
		rule.TTL = readTTL(o.at("ttl"))
	}
	text, ok := status.required()
	if _, _, known := c.types.Lookup(presence.TypeID(text)); ok && !known {
		status.fault(quote(text)+" is no status of this mapping", suggest(text, c.typeIDs), message.As("rules.no_status", "value", quote(text)))
		return presence.PhoneRule{}
	}
	rule.Show = presence.TypeID(text)
	return rule
}

func readOver(v value) []presence.Base {
	items, ok := v.list()
	if v.missing() || !ok {
		return []presence.Base{presence.Connected}
	}
	if len(items) == 0 {
		v.fault("the list is empty, so that it would never show", "name the kinds of status it may show over, or remove the line for [connected]")
	}
	bases := make([]presence.Base, 0, len(items))
	for _, item := range items {
		switch base := readBase(item); {
		case slices.Contains(bases, base):
			item.fault(fmt.Sprintf("%s stands here twice", base), "remove one of them")
		case base != "":
			bases = append(bases, base)
		}
	}
	return bases
}

// readTTL reads how long what a phone did is believed; 0 is for ever.
func readTTL(v value) time.Duration {
	switch d := v.duration(presence.DefaultPhoneTTL); d {
	case 0:
		return presence.Forever
	default:
		return d
	}
}

const (
	defaultDevice = "PJSIP/" + extensionMark
	maxDevice     = 79 // of Asterisk's AST_CHANNEL_NAME (include/asterisk/channel.h)
)

// readDevice reads the template of the device whose state is the phone's. Empty
// means that phones are not followed.
func readDevice(v value) string {
	text := v.text(defaultDevice)
	technology, rest, slash := strings.Cut(text, "/")
	if custom, isCustom := strings.CutPrefix(text, "Custom:"); isCustom {
		technology, rest, slash = "Custom", custom, true
	}
	switch around := strings.Replace(rest, extensionMark, "", 1); {
	case text == "":
		return ""
	case !slash || !wordPattern.MatchString(technology):
		v.fault(quote(text)+" is not a device of Asterisk", "write it as core show hints does, with "+extensionMark+" where the number stands: "+defaultDevice)
	case around == rest:
		v.fault(quote(text)+" is the same for every extension", "put "+extensionMark+" where the number stands, as in "+defaultDevice)
	case !deviceText.MatchString(around) || len(text) > maxDevice:
		v.fault(quote(text)+" has characters that no device has, or is too long", "use letters, digits, dots, hyphens, underscores and @ around one "+extensionMark)
	default:
		return text
	}
	return defaultDevice
}
