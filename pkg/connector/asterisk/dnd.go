package asterisk

import (
	"context"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
)

// What is written to DND devices. Feature codes of FreePBX write the same: the hint
// PJSIP/1001&Custom:DND1001 would be idle with NOT_INUSE although the phone is gone.
const (
	dndOn  = "BUSY"
	dndOff = "UNAVAILABLE"
)

// parseDND reads the template of DND devices; "" is none.
func parseDND(template string) (deviceTemplate, error) {
	where, ok, err := parseDevice(template)
	if err == nil && ok && !strings.HasPrefix(where.before, customDevices) {
		err = fmt.Errorf("dnd %q: only devices that begin with %s can be set", template, customDevices)
	}
	return where, err
}

// follows tells whether there are DND devices at all.
func (d deviceTemplate) follows() bool { return d.before != "" }

// dndOf returns what a device says, if it is somebody's DND device. Reader only.
func (s *session) dndOf(device, state []byte) (number string, on, ok bool) {
	if !s.c.dnd.follows() {
		return "", false, false
	}
	number = s.translate.shared(s.c.dnd.number(device))
	return number, ami.InUse(string(state)), number != ""
}

// dndChanged takes a live event, which is also newer than the list that is being taken.
func (s *session) dndChanged(taking *phoneList, following bool, device, state []byte) {
	number, on, ok := s.dndOf(device, state)
	if !ok {
		return
	}
	if taking != nil {
		taking.rang[number] = on
	}
	if following {
		s.tell(connector.Report{Kind: connector.DNDChanged, Extension: s.extension(number), On: on})
	}
}

// dndListed delivers what all DND devices say.
func (s *session) dndListed(n *phoneList) {
	if !s.c.dnd.follows() {
		return
	}
	for number, on := range n.rang {
		n.dnds[number] = on
	}
	s.report(s.c.dndReport(n.dnds))
}

// dndReport says what DND devices there are and what they say; nil: nobody tells.
func (c *Connector) dndReport(dnds map[string]bool) connector.Report {
	return connector.Report{Kind: connector.DNDListed, DNDs: dnds, DNDOf: c.cfg.DND}
}

// writeDND puts a write to a DND device on the wire, as write does for presences.
func (s *session) writeDND(ctx context.Context, o connector.Order) error {
	state := dndOff
	if o.On {
		state = dndOn
	}
	write, err := ami.SetDevice(s.c.dnd.name(o.Extension.Number), state)
	if err != nil {
		return fmt.Errorf("write the DND device of extension %s: %w", o.Extension, err)
	}
	return s.put(ctx, write, o)
}
