package ami

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// Asterisk reads into 1024 bytes and drops an action with a longer line
	// (main/manager.c, inbuf); its CR LF counts.
	maxLine = 1023

	// Longer texts are cut in the event but not in the store
	// (funcs/func_presencestate.c:237), so the two would never agree.
	maxText = 255
)

// presentityPattern leaves out everything that Asterisk treats specially in a
// name, above all "/", "&", "," and ")".
var presentityPattern = regexp.MustCompile(`^CustomPresence:[A-Za-z0-9_.-]{1,64}$`)

// states are the words that a presence can be set to (main/presencestate.c).
var states = []string{"not_set", "unavailable", "available", "away", "xa", "chat", "dnd"}

// Action is something to ask of the PBX. Only the constructors of this package
// make one: they are the list of all that can be asked. An Action may be used again.
type Action struct {
	name string
	body string // all lines after Action and ActionID, each with its CR LF
}

// Name returns the name of the action.
func (a Action) Name() string { return a.name }

// String returns the name alone: the body may hold a secret.
func (a Action) String() string { return a.name }

// Format writes the name alone, whatever the verb.
func (a Action) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.name)) }

// Ping asks for the PBX's clock.
func Ping() Action { return Action{name: "Ping"} }

// CoreStatus asks when the PBX was started, which tells its lives apart.
func CoreStatus() Action { return Action{name: "CoreStatus"} }

// CoreSettings asks for the version of the PBX.
func CoreSettings() Action { return Action{name: "CoreSettings"} }

// ListCommands asks which actions exist and this account may use. Only the doctor
// does, to find rights that the account should not have.
func ListCommands() Action { return Action{name: "ListCommands"} }

// PresenceStateList lists what every presentity shows; its complete event is
// PresenceStateListComplete.
func PresenceStateList() Action { return Action{name: "PresenceStateList"} }

// DeviceStateList lists the states of all devices that Asterisk knows; its complete
// event is DeviceStateListComplete.
func DeviceStateList() Action { return Action{name: "DeviceStateList"} }

// QueueStatus lists every queue with its members and callers; its complete event is
// QueueStatusComplete. It needs no right (apps/app_queue.c, load_module).
func QueueStatus() Action { return Action{name: "QueueStatus"} }

// maxReason is the longest reason that app_queue keeps (apps/app_queue.c, struct member).
const maxReason = 79

// PauseMember pauses a member of one queue for a reason, or lets it go on: then the
// reason is for the queue's log.
func PauseMember(queue, member string, paused bool, reason string) (Action, error) {
	switch {
	case queue == "" || member == "":
		return Action{}, errors.New("without the names of a queue and a member QueuePause is about all there are")
	case len(reason) > maxReason || strings.ContainsAny(reason, ";|,"):
		// They separate what app_queue writes into the AstDB and into its log.
		return Action{}, fmt.Errorf("%q is not a reason of a pause: at most %d bytes without ; | and ,", reason, maxReason)
	}
	return newAction("QueuePause", "Queue", queue, "Interface", member, "Paused", strconv.FormatBool(paused), "Reason", reason)
}

// The two states that SetCustomDevice sets.
const (
	CustomDeviceOn  = "INUSE"
	CustomDeviceOff = "NOT_INUSE"
)

// customDevicePattern leaves out what Asterisk treats specially in a name.
var customDevicePattern = regexp.MustCompile(`^Custom:[A-Za-z0-9_.-]{1,64}$`)

// deviceStates are the words that a device can be set to and that say something (main/devicestate.c:62).
var deviceStates = []string{"NOT_INUSE", "INUSE", "BUSY", "RINGING", "ONHOLD", "UNAVAILABLE"}

// SetDevice sets the state of a device that exists only as a name.
func SetDevice(device, state string) (Action, error) {
	if !customDevicePattern.MatchString(device) {
		return Action{}, fmt.Errorf("%q is not a custom device: Custom: and up to 64 letters, digits, dots, dashes or underscores", device)
	}
	if !slices.Contains(deviceStates, state) {
		return Action{}, fmt.Errorf("%q is not a state to set a device to: use one of %s", state, strings.Join(deviceStates, " "))
	}
	return newAction("Setvar", "Variable", "DEVICE_STATE("+device+")", "Value", state)
}

// SetCustomDevice is SetDevice to one of two states.
func SetCustomDevice(device string, on bool) (Action, error) {
	if on {
		return SetDevice(device, CustomDeviceOn)
	}
	return SetDevice(device, CustomDeviceOff)
}

// GetPresence asks for one field of what a presentity really is: value, subtype
// or message. The answer's Value is base64 for the latter two, since a line
// break in them would end the header.
func GetPresence(presentity, field string) (Action, error) {
	if err := checkPresentity(presentity); err != nil {
		return Action{}, err
	}
	switch field {
	case "value":
	case "subtype", "message":
		field += ",e"
	default:
		return Action{}, fmt.Errorf("%q is not a field of a presence: use value, subtype or message", field)
	}
	return newAction("Getvar", "Variable", "PRESENCE_STATE("+presentity+","+field+")")
}

// SetPresence sets what a presentity shows. The texts are always sent as base64:
// a plain comma makes Asterisk refuse or garble them (funcs/func_presencestate.c:165).
// So they may hold line breaks, but no NUL, where Asterisk's decoder stops.
func SetPresence(presentity, state, subtype, message string) (Action, error) {
	if err := checkPresentity(presentity); err != nil {
		return Action{}, err
	}
	if !slices.Contains(states, state) {
		return Action{}, fmt.Errorf("%q is not a presence state: use one of %s", state, strings.Join(states, " "))
	}
	if err := errors.Join(checkText("subtype", subtype), checkText("message", message)); err != nil {
		return Action{}, err
	}
	b64 := base64.StdEncoding.EncodeToString
	return newAction("Setvar",
		"Variable", "PRESENCE_STATE("+presentity+")",
		"Value", state+","+b64([]byte(subtype))+","+b64([]byte(message))+",e")
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

// newAction builds an action of pairs of header and value. Its errors do not
// repeat a value, which may be secret.
func newAction(name string, pairs ...string) (Action, error) {
	var body strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		header, value := pairs[i], pairs[i+1] //nolint:gosec // an odd one out is a bug of the caller
		if strings.ContainsAny(value, "\r\n\x00") {
			return Action{}, fmt.Errorf("%s of %s contains a line break or NUL", header, name)
		}
		line := header + ": " + value + "\r\n"
		if len(line) > maxLine {
			return Action{}, fmt.Errorf("%s of %s makes a line of %d bytes: Asterisk takes %d", header, name, len(line), maxLine)
		}
		body.WriteString(line)
	}
	return Action{name: name, body: body.String()}, nil
}
