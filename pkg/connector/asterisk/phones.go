package asterisk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// maxDevice is the longest name of a device (AST_CHANNEL_NAME, include/asterisk/channel.h).
const maxDevice = 79

// deviceTemplate says which device is the phone of an extension.
type deviceTemplate struct{ before, after string } // around the extension

// parseDevice reads a template; "" is none, and ok is false.
func parseDevice(template string) (d deviceTemplate, ok bool, err error) {
	if template == "" {
		return d, false, nil
	}
	before, after, found := strings.Cut(template, placeholder)
	if !found || before == "" || len(before)+len(after) >= maxDevice || strings.ContainsFunc(template, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return d, false, fmt.Errorf("device %q: use the name of a device with %s where the number stands, such as PJSIP/%[2]s", template, placeholder)
	}
	return deviceTemplate{before, after}, true, nil
}

// name returns the device of an extension.
func (d deviceTemplate) name(number string) string { return d.before + number + d.after }

// number returns the extension of a device, nil if it is nobody's phone.
func (d deviceTemplate) number(device []byte) []byte {
	n := len(device) - len(d.before) - len(d.after)
	if n < 1 || n > maxName || string(device[:len(d.before)]) != d.before || string(device[len(d.before)+n:]) != d.after {
		return nil
	}
	number := device[len(d.before) : len(d.before)+n]
	for _, b := range number {
		if !plain(b) {
			return nil
		}
	}
	return number
}

// phoneStates is what Asterisk's words mean for a person (main/devicestate.c:62).
// Who is called while talking is talking.
var phoneStates = map[string]presence.PhoneState{
	"UNKNOWN":     presence.PhoneUnknown,
	"INVALID":     presence.PhoneNone,
	"UNAVAILABLE": presence.PhoneOffline,
	"NOT_INUSE":   presence.PhoneIdle,
	"RINGING":     presence.PhoneRinging,
	"RINGINUSE":   presence.PhoneInCall,
	"INUSE":       presence.PhoneInCall,
	"BUSY":        presence.PhoneInCall,
	"ONHOLD":      presence.PhoneOnHold,
}

// phoneList is a list of what all phones do, while it is taken. It is fenced as a
// snapshot is, with a device of our own: states of devices reach AMI on another way
// than presences do (measured), so that the canary says nothing of them.
type phoneList struct {
	does    map[string]presence.PhoneState // the reader's until the list is complete
	live    map[string]presence.PhoneState // reader only: events since it was asked for, which win
	dnds    map[string]bool                // as does, of DND devices
	rang    map[string]bool                // as live
	lamps   lampList
	damaged bool          // under session.mu: a frame of the list was refused
	fenced  bool          // under session.mu: the last event to wait for is on its way
	done    chan struct{} // closed when delivered
}

// takePhones lists what all phones do and delivers it. An error says why phones
// cannot be followed; it is no reason not to be ready.
func (s *session) takePhones(ctx context.Context) error {
	n := &phoneList{
		does: make(map[string]presence.PhoneState),
		live: make(map[string]presence.PhoneState),
		dnds: make(map[string]bool),
		rang: make(map[string]bool),
		done: make(chan struct{}),

		lamps: s.c.lamps.list(),
	}
	s.watchPhones(n)
	defer s.watchPhones(nil)
	if _, err := s.conn.List(ctx, ami.DeviceStateList(), "DeviceStateListComplete", func(e ami.Event) { s.deviceListed(n, e) }); err != nil {
		return err
	}
	if s.isForged(n) {
		return errPhonesForged
	}
	// Of a state that does not change there is no event (main/devicestate.c:717), so of
	// two different ones the second is always told.
	for _, last := range []bool{false, true} {
		write, err := ami.SetCustomDevice(s.c.deviceCanary, last)
		if err != nil {
			return err
		}
		s.mu.Lock()
		n.fenced = last
		s.mu.Unlock()
		if _, err := s.conn.Do(ctx, write); err != nil {
			return err
		}
	}
	timer := time.NewTimer(s.c.cfg.Times.CanaryWait)
	defer timer.Stop()
	select {
	case <-n.done:
		return nil
	case <-timer.C:
		return errPhonesDeaf
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) isForged(n *phoneList) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.damaged
}

// watchPhones makes n the list that live events go to; nil ends that.
func (s *session) watchPhones(n *phoneList) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phones = n
}

// deviceListed takes one item of the list. It runs on the reader.
func (s *session) deviceListed(n *phoneList, e ami.Event) {
	device, state := deviceFields(e)
	if device == nil {
		s.refuse(fmt.Errorf("%w, %w", errFields, ami.ErrInList))
		return
	}
	n.lamps.note(device, state)
	if number, on, ok := s.dndOf(device, state); ok {
		n.dnds[number] = on
	}
	if number, does, ok := s.does(device, state); ok {
		n.does[number] = does
	}
}

// deviceFields returns what Asterisk prints last in every DeviceStateChange, nil if
// it is not there: the name is not escaped (main/devicestate.c, devstate_to_ami).
func deviceFields(e ami.Event) (device, state []byte) {
	if !e.EndsWith("Device", "State") {
		return nil, nil
	}
	return e.Bytes("Device"), e.Bytes("State")
}

// does translates the state of a device; ok is false where it is nobody's phone.
func (s *session) does(device, state []byte) (number string, does presence.PhoneState, ok bool) {
	if number = s.translate.phone(device); number == "" {
		return "", 0, false
	}
	does, ok = phoneStates[string(state)]
	return number, does, ok
}

// deviceChanged takes a live DeviceStateChange. It runs on the reader.
func (s *session) deviceChanged(e ami.Event) {
	if !s.c.devices() {
		return
	}
	device, state := deviceFields(e)
	if device == nil {
		s.refuse(errFields)
		return
	}
	s.mu.Lock()
	taking, following := s.phones, s.following
	s.mu.Unlock()
	if taking != nil && string(device) == s.c.deviceCanary {
		s.deviceCanarySeen(taking, string(state))
		return
	}
	if taking != nil {
		taking.lamps.note(device, state)
	}
	s.dndChanged(taking, following, device, state)
	number, does, ok := s.does(device, state)
	if !ok {
		return
	}
	if taking != nil {
		taking.live[number] = does
	}
	if following {
		s.tell(connector.Report{Kind: connector.PhoneChanged, Extension: s.extension(number), Phone: does})
	}
}

// deviceCanarySeen ends a list: whatever it reflects has been told.
func (s *session) deviceCanarySeen(n *phoneList, state string) {
	s.mu.Lock()
	complete := s.phones == n && n.fenced && state == ami.CustomDeviceOn // else nobody waits for it any more
	if complete {
		s.phones, s.following = nil, true
	}
	s.mu.Unlock()
	if !complete {
		return
	}
	for number, does := range n.live {
		n.does[number] = does
	}
	if s.c.phones {
		s.report(connector.Report{Kind: connector.PhonesListed, Phones: n.does})
	}
	s.dndListed(n)
	n.lamps.deliver()
	close(n.done)
}

// devices tells whether anything has to be known of devices.
func (c *Connector) devices() bool { return c.phones || c.lamps != nil || c.dnd.follows() }

// followPhones takes a list of what devices do, if anybody wants to know. What
// keeps it from that is told to people; presence goes on without.
func (s *session) followPhones(ctx context.Context) {
	if !s.c.devices() {
		return
	}
	err := s.takePhones(ctx)
	switch {
	case ctx.Err() != nil || errors.Is(err, ami.ErrClosed):
		return
	case err == nil:
		s.unheard = 0
	case s.tryAgain(err):
		return // a busy PBX may be late once, and what is known of calls need not be forgotten for that
	default:
		err = s.c.phonesUnknown(err)
		s.mu.Lock()
		s.following = false
		s.mu.Unlock()
		_ = s.conn.Send(ami.Ping(), s.nobodyTells) // only the reader reports; a connection that is over has its Down
	}
	s.c.phoneTrouble(err)
}

// maxUnheard is how often phones are listed in vain before nobody is believed to be
// in a call any more.
const maxUnheard = 3

// tryAgain counts a failure and tells whether trying again soon may be of use.
func (s *session) tryAgain(err error) bool {
	var refused *ami.ResponseError
	s.unheard++
	if errors.As(err, &refused) || errors.Is(err, errPhonesForged) {
		s.unheard = maxUnheard
	}
	return s.unheard < maxUnheard
}

// nobodyTells reports that what phones do is not known any more.
func (s *session) nobodyTells(_ ami.Response, err error) {
	if err == nil && s.c.phones {
		s.report(connector.Report{Kind: connector.PhonesListed})
	}
	if err == nil && s.c.dnd.follows() {
		s.report(s.c.dndReport(nil))
	}
}

var (
	errPhonesDeaf = errors.New("phones are not followed, nor are DND devices and lamps: states of devices change without an event")
	errPhonesList = errors.New("phones are not followed, nor are DND devices and lamps: the states of devices cannot be listed")
)

// errPhonesForged: unlike a presence, the state of a device is not read one by one.
var errPhonesForged error = &problem{
	fmt.Errorf("%w: somebody has put line breaks into names of devices, which forge frames in every list", errPhonesList),
	`stop Asterisk, run sqlite3 astdb.sqlite3 "DELETE FROM astdb WHERE key LIKE '/CustomDevstate/%' AND (instr(key, char(10)) OR instr(key, char(13)))" ` +
		"in its astdbdir, start it, and find out who may set variables over ARI",
	message.As("pbx.phones_forged"),
}

// phonesUnknown explains why phones cannot be followed.
func (c *Connector) phonesUnknown(err error) error {
	var refused *ami.ResponseError
	switch account := c.cfg.AMI.Username; {
	case errors.Is(err, errPhonesForged):
		return err
	case errors.Is(err, errPhonesDeaf):
		return &problem{err, fmt.Sprintf("if [%s] in manager.conf has eventfilter lines, add eventfilter(action(include),name(DeviceStateChange)) = , "+
			"and run 'manager reload'; else see that res_manager_devicestate.so is loaded", account),
			message.As("pbx.phones_deaf", "account", account)}
	case errors.As(err, &refused) && refused.Action == "Setvar":
		return &problem{fmt.Errorf("%w: %w", errPhonesDeaf, err), "run 'module load func_devstate.so' in the Asterisk CLI", message.As("pbx.no_devstate")}
	case errors.As(err, &refused) && unknown(refused):
		return &problem{fmt.Errorf("%w: %w", errPhonesList, err), "run 'module load res_manager_devicestate.so' in the Asterisk CLI", message.As("pbx.no_devicestate")}
	}
	return fmt.Errorf("%w: %w", errPhonesList, err)
}
