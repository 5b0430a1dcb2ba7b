package ari

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	cycore "github.com/CyCoreSystems/ari/v5"
)

const (
	// Longer texts are cut in the event but not in the store
	// (funcs/func_presencestate.c:237), so the two would never agree.
	maxText = 255

	maxSources   = 100      // of events in one request
	maxUserEvent = 32 << 10 // bytes of all variables in JSON; Asterisk reads a body of 40 KiB (main/http.c)
)

var (
	// presentityPattern leaves out everything that Asterisk treats specially in a
	// name, above all "/", "&", ",", ")" and "}".
	presentityPattern = regexp.MustCompile(`^CustomPresence:[A-Za-z0-9_.-]{1,64}$`)

	// namePattern is for names of applications and events, which are parts of
	// paths: not "..".
	namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

	// devicePattern is a technology and a name, such as PJSIP/1001, Custom:lamp or
	// Queue:sales_avail. A comma would be a second one.
	devicePattern = regexp.MustCompile(`^[A-Za-z0-9_]{1,32}[/:][!-+.-~-]{1,128}$`)
)

// states are the words that a presence can have (main/presencestate.c).
var states = []string{"not_set", "unavailable", "available", "away", "xa", "chat", "dnd"}

// Info says which Asterisk it is, and which of its lives.
type Info struct {
	Version  string    // such as 22.10.1
	EntityID string    // of the machine
	Started  time.Time // whole milliseconds
}

// Info asks for it.
func (c *Conn) Info(ctx context.Context) (Info, error) {
	var got cycore.AsteriskInfo
	err := c.do(ctx, request{call: "the version", method: http.MethodGet, path: "/asterisk/info", into: &got})
	return Info{
		Version:  got.SystemInfo.Version,
		EntityID: got.SystemInfo.EntityID,
		Started:  time.Time(got.StatusInfo.StartupTime),
	}, err
}

// DeviceState is what a device shows: UNKNOWN NOT_INUSE INUSE BUSY INVALID
// UNAVAILABLE RINGING RINGINUSE ONHOLD.
type DeviceState struct {
	Name  string
	State string
}

// DeviceState asks for the state of one device of any kind, such as PJSIP/1001.
// One that does not exist is INVALID or UNKNOWN, not an error.
func (c *Conn) DeviceState(ctx context.Context, device string) (DeviceState, error) {
	if err := checkDevice(device); err != nil {
		return DeviceState{}, err
	}
	var got DeviceState
	err := c.do(ctx, request{call: "a device state", method: http.MethodGet, path: "/deviceStates/" + escape(device), into: &got})
	return got, err
}

// DeviceStates lists the devices that ARI itself made, those of Stasis:. There is
// no list of all: ask for each.
func (c *Conn) DeviceStates(ctx context.Context) ([]DeviceState, error) {
	var got []DeviceState
	err := c.do(ctx, request{call: "the device states", method: http.MethodGet, path: "/deviceStates", into: &got})
	return got, err
}

// Endpoint is somebody who can be called.
type Endpoint struct {
	Technology string   // such as PJSIP
	Resource   string   // such as 1001
	State      string   // online, offline or unknown
	ChannelIDs []string `json:"channel_ids"` // of its calls
}

// Endpoints lists all endpoints of all technologies.
func (c *Conn) Endpoints(ctx context.Context) ([]Endpoint, error) {
	var got []Endpoint
	err := c.do(ctx, request{call: "the endpoints", method: http.MethodGet, path: "/endpoints", into: &got})
	return got, err
}

// Source is something that sends events.
type Source struct{ name string }

var (
	// AllDevices are the states of all devices, with one subscription. It brings
	// those of Local channels as well.
	AllDevices = Source{"deviceState:"}

	// AllEndpoints are the changes of all endpoints and their contacts.
	AllEndpoints = Source{"endpoint:"}

	// AllChannels are the events of all channels. Of these Config.Events should name
	// few, and the Conn be Filtered: a call makes dozens. ChannelUserevent is what the
	// dialplan's application UserEvent makes.
	AllChannels = Source{"channel:"}
)

// Device is the state of one device, which need not exist yet.
func Device(name string) (Source, error) {
	return Source{"deviceState:" + name}, checkDevice(name)
}

// Subscribe asks for the events of sources, beside those asked for before.
// Asterisk forgets them with the connection, except that 16 keeps AllDevices and
// AllChannels for as long as it runs.
func (c *Conn) Subscribe(ctx context.Context, sources ...Source) error {
	for some := range slices.Chunk(sources, maxSources) {
		names := make([]string, len(some))
		for i, s := range some {
			if s.name == "" {
				return errors.New("a source must come from package ari")
			}
			names[i] = s.name
		}
		if err := c.do(ctx, request{
			call: "a subscription to events", method: http.MethodPost,
			path: "/applications/" + escape(c.app) + "/subscription",
			form: url.Values{"eventSource": {strings.Join(names, ",")}},
		}); err != nil {
			return err
		}
	}
	return nil
}

// filter makes Asterisk send these types of event alone. It keeps a filter
// beyond the connection (measured on 16), so that every Conn has to set its own;
// and ApplicationReplaced passes a filter only by name. An Asterisk before 13.26
// and 16.3 has no filter and says 404: it sends all.
func (c *Conn) filter(ctx context.Context, types []string) error {
	type eventType struct {
		Type string `json:"type"`
	}
	allowed := []eventType{{cycore.Events.ApplicationReplaced}}
	for _, t := range types {
		allowed = append(allowed, eventType{t})
	}
	err := c.do(ctx, request{
		call: "a filter of events", method: http.MethodPut,
		path: "/applications/" + escape(c.app) + "/eventFilter",
		json: map[string]any{"allowed": allowed},
	})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	c.filtered = err == nil
	return err
}

// SetPresence sets what a presentity shows. Success means only that Asterisk
// read it: it answers so whatever became of it (resource_asterisk.c:827), and who
// wants to know has to see the event, over AMI. The texts are always sent as
// base64: a plain comma makes Asterisk refuse or garble them
// (funcs/func_presencestate.c:165).
func (c *Conn) SetPresence(ctx context.Context, presentity, state, subtype, message string) error {
	if err := checkPresentity(presentity); err != nil {
		return err
	}
	if !slices.Contains(states, state) {
		return fmt.Errorf("%q is not a presence state: use one of %s", state, strings.Join(states, " "))
	}
	if err := errors.Join(checkText("subtype", subtype), checkText("message", message)); err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	return c.do(ctx, request{
		call: "a presence", method: http.MethodPost, path: "/asterisk/variable",
		// In a form, which no log of requests shows.
		form: url.Values{
			"variable": {"PRESENCE_STATE(" + presentity + ")"},
			"value":    {state + "," + b64([]byte(subtype)) + "," + b64([]byte(message)) + ",e"},
		},
	})
}

// UserEvent sends a ChannelUserevent of that name to the application app and to
// nobody else; an ErrNotFound says that it is not registered. Asterisk adds the
// variable eventname.
func (c *Conn) UserEvent(ctx context.Context, app, name string, variables map[string]string) error {
	if !namePattern.MatchString(app) || !namePattern.MatchString(name) {
		return fmt.Errorf("%q or %q is not a name of an application or event: up to 64 letters, digits, dots, dashes or underscores", app, name)
	}
	for key := range variables {
		if !namePattern.MatchString(key) {
			return fmt.Errorf("%q is not a name of a variable: up to 64 letters, digits, dots, dashes or underscores", key)
		}
	}
	if variables == nil {
		variables = map[string]string{}
	}
	text, err := json.Marshal(variables)
	if err != nil {
		return err
	}
	if len(text) > maxUserEvent {
		return fmt.Errorf("variables of %d bytes in JSON: at most %d fit in an event", len(text), maxUserEvent)
	}
	return c.do(ctx, request{
		call: "an event to " + app, method: http.MethodPost,
		path:  "/events/user/" + escape(name),
		query: "application=" + escape(app),
		json:  map[string]any{"variables": variables},
	})
}

func checkDevice(name string) error {
	if !devicePattern.MatchString(name) {
		return fmt.Errorf("%q is not a device: a technology, a slash or colon, and up to 128 visible characters without a comma", name)
	}
	return nil
}

func checkPresentity(name string) error {
	if !presentityPattern.MatchString(name) {
		return fmt.Errorf("%q is not a presentity: CustomPresence: and up to 64 letters, digits, dots, dashes or underscores", name)
	}
	return nil
}

func checkText(what, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("%s of %d bytes: at most %d fit", what, len(text), maxText)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%s contains a NUL byte", what)
	}
	return nil
}
