package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

const (
	customPrefix = "Custom:"
	exampleLamp  = customPrefix + "PRES" + extensionMark
	exampleDND   = customPrefix + "DND" + extensionMark // as FreePBX names them
)

// readCustom reads the template of a device that the bridge sets; "" is none. Asterisk
// lets only custom devices be set (funcs/func_devstate.c:88).
func readCustom(v value, example string) string {
	text := v.text("")
	name, custom := strings.CutPrefix(text, customPrefix)
	switch {
	case text == "":
	case !custom:
		v.fault(quote(text)+" is no device that can be set", "begin it with "+customPrefix+", as in "+example)
	case keepsNumber(v, text, name, example):
		return text
	}
	return ""
}

// keepsNumber tells whether Asterisk keeps the name in a template for every extension;
// text is the whole of it. If not, v has the fault.
func keepsNumber(v value, text, name, example string) bool {
	switch around := strings.Replace(name, extensionMark, "", 1); {
	case around == name:
		v.fault(quote(text)+" is the same for every extension", "put "+extensionMark+" where the number stands, as in "+example)
	case !presentityText.MatchString(around):
		v.fault(quote(text)+" has characters that Asterisk does not keep",
			"use letters, digits, dots, hyphens and underscores around one "+extensionMark)
	case len(around) >= maxName:
		v.fault(fmt.Sprintf("%d characters around %s leave no room for a number", len(around), extensionMark), fmt.Sprintf("stay within %d in all", maxName))
	default:
		return true
	}
	return false
}

// fits finds a name that the template of a presentity or device makes too long for Asterisk.
func fits(number value, text, pbx, what, template string) {
	around := len(template) - strings.Index(template, ":") - 1 - len(extensionMark)
	if template != "" && len(text) <= maxName && around+len(text) > maxName {
		number.fault(fmt.Sprintf("with the %s of PBX %s this is a name of %d characters, of which Asterisk keeps %d", what, pbx, around+len(text), maxName),
			"shorten the "+what+" of the PBX, or the number")
	}
}

// warnOfDND tells of DND devices that nothing can be done with.
func (c *compiler) warnOfDND(statuses value, list []presence.StatusType) {
	dnd := func(t presence.StatusType) bool {
		return t.Asterisk != nil && *t.Asterisk == presence.Image{State: presence.DND}
	}
	if slices.ContainsFunc(c.pbxs, func(p PBX) bool { return p.DND != "" }) && !slices.ContainsFunc(list, dnd) {
		statuses.warn("no status is mapped to the presence dnd, so that dnd of presencebridge.yaml does nothing", "give one asterisk: dnd, or remove dnd there",
			message.As("rules.no_dnd"))
	}
}
