package asterisk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// deviceReaders is how many devices are asked for at a time.
const deviceReaders = 3

// phoneRoll is what of phones is known over ARI. It is held while it is reported, so
// that a list and the events about it come in the right order.
type phoneRoll struct {
	mu        sync.Mutex
	following bool                           // a list was delivered
	live      map[string]presence.PhoneState // events since a list was asked for, which win; nil: none is
}

// rephone asks for a list of what phones do.
func (s *standIn) rephone() {
	select {
	case s.calls <- struct{}{}:
	default:
	}
}

// followPhones lists what phones do: at first, and whenever that is wanted. What
// keeps it from that is told to people, and tried again.
func (s *standIn) followPhones(ctx context.Context) {
	var unheard uint // how often in a row they could not be listed
	for ctx.Err() == nil {
		began := time.Now()
		err := s.listPhones(ctx)
		if ctx.Err() != nil {
			return
		}
		var wait time.Duration
		var refused *ari.StatusError
		switch unheard++; {
		case err == nil: // events tell all that follows
			unheard = 0
			s.c.phoneTrouble(nil)
			// Whoever floods us with events must not make the PBX be asked without a pause.
			sleep(ctx, max(s.c.cfg.Times.Retry, restFactor*time.Since(began)))
		case unheard < maxUnheard && !errors.As(err, &refused):
			wait = s.c.cfg.Times.Retry << unheard // what is known of calls need not be forgotten for that
		default:
			unheard, wait = maxUnheard, jitter(s.c.cfg.Times.Snapshot)
			s.nobodyTells()
			s.c.phoneTrouble(s.c.phonesUnknownARI(err))
		}
		s.awaitCalls(ctx, wait)
	}
}

// awaitCalls waits until a list is wanted, or has to be tried again; 0: it has not.
func (s *standIn) awaitCalls(ctx context.Context, wait time.Duration) {
	var expired <-chan time.Time
	if wait > 0 {
		expired = time.After(wait)
	}
	select {
	case <-s.calls:
	case <-expired:
	case <-ctx.Done():
	}
}

// nobodyTells reports that what phones do is not known any more.
func (s *standIn) nobodyTells() {
	s.phones.mu.Lock()
	defer s.phones.mu.Unlock()
	s.phones.following, s.phones.live = false, nil
	s.report(connector.Report{Kind: connector.PhonesListed})
}

// listPhones asks what each phone does, and delivers it with what happened
// meanwhile. There is no list of all devices.
func (s *standIn) listPhones(ctx context.Context) error {
	select { // this one answers whatever was wanted until now
	case <-s.calls:
	default:
	}
	s.phones.mu.Lock()
	s.phones.live = make(map[string]presence.PhoneState)
	s.phones.mu.Unlock()
	// Before the first is read, so that nothing falls in between. Asking again is harmless.
	if err := s.conn.Subscribe(ctx, ari.AllDevices); err != nil {
		return err
	}
	does, err := s.readPhones(ctx, s.c.follows.Load().List())
	if err != nil {
		return err
	}
	s.phones.mu.Lock()
	defer s.phones.mu.Unlock()
	for number, d := range s.phones.live {
		does[number] = d
	}
	s.phones.live, s.phones.following = nil, true
	s.report(connector.Report{Kind: connector.PhonesListed, Phones: does})
	return nil
}

// readPhones asks for the device of each extension, a few at a time.
func (s *standIn) readPhones(ctx context.Context, numbers []string) (map[string]presence.PhoneState, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	does := make([]presence.PhoneState, len(numbers))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range deviceReaders {
		readers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(numbers) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				d, err := s.conn.DeviceState(ctx, s.c.device.name(numbers[i]))
				if err != nil {
					cancel(err)
					return
				}
				does[i] = phoneStates[d.State]
			}
		})
	}
	readers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	all := make(map[string]presence.PhoneState, len(numbers))
	for i, number := range numbers {
		all[number] = does[i]
	}
	return all, nil
}

// deviceChanged takes an event of a device.
func (s *standIn) deviceChanged(device, state string) {
	number := string(s.c.device.number([]byte(device)))
	does, ok := phoneStates[state]
	if !ok || !s.c.follows.Load().Has(number) {
		return
	}
	s.phones.mu.Lock()
	defer s.phones.mu.Unlock()
	if s.phones.live != nil {
		s.phones.live[number] = does
	}
	if s.phones.following {
		s.report(connector.Report{Kind: connector.PhoneChanged, Extension: s.extension(number), Phone: does})
	}
}

// phonesUnknownARI explains why phones cannot be followed over ARI.
func (c *Connector) phonesUnknownARI(err error) error {
	return &problem{fmt.Errorf("%w: %w", errPhonesList, err), "see that res_ari_device_states.so, res_stasis_device_state.so and res_ari_applications.so are loaded",
		message.As("pbx.ari_no_devices")}
}
