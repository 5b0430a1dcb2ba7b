package pbxtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// noteDevice is amigo's handler: it must not ask anything.
func (o *Observer) noteDevice(event map[string]string) {
	if event["Privilege"] == "" {
		return // an item of somebody's list
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.devices = append(o.devices, pbxsim.Device{Name: event["Device"], State: event["State"]})
}

// SetDevice gives a "Custom:" device a state. An error means that it was refused
// or that the PBX is not there.
func (o *Observer) SetDevice(device, state string) error {
	answer, err := o.action(map[string]string{
		"Action": "Setvar", "Variable": "DEVICE_STATE(" + device + ")", "Value": state,
	})
	if err == nil && answer["Response"] != "Success" {
		err = errors.New(answer["Message"])
	}
	if err != nil {
		return fmt.Errorf("observer sets %s to %q: %w", device, state, err)
	}
	return nil
}

// Device asks for the state of any device.
func (o *Observer) Device(device string) (state string, err error) {
	answer, err := o.action(map[string]string{"Action": "Getvar", "Variable": "DEVICE_STATE(" + device + ")"})
	if err != nil {
		return "", fmt.Errorf("observer asks for %s: %w", device, err)
	}
	return answer["Value"], nil
}

// SeenDevices returns every event of a device so far, in order. Asterisk tells
// only a state that is new.
func (o *Observer) SeenDevices() []pbxsim.Device {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.devices)
}

// CatchUpDevices waits until the events of every device that changed before have
// been seen. CatchUp does not: they take another way through Asterisk than those
// of presence.
func (o *Observer) CatchUpDevices() {
	o.t.Helper()
	o.mu.Lock()
	o.fences++
	fence := pbxsim.Device{Name: fmt.Sprintf("Custom:observer-fence-%d", o.fences), State: "BUSY"}
	o.mu.Unlock()
	for _, state := range []string{"INUSE", fence.State} { // one of them is new, in a PBX that had it already
		if err := o.SetDevice(fence.Name, state); err != nil {
			o.t.Fatal(err)
		}
	}
	Eventually(o.t, o.deadline, "the observer sees its own device", func() bool { return slices.Contains(o.SeenDevices(), fence) })
}

// Hint asks what the hint of an extension of [default] shows, in Asterisk's words. The
// simulated PBX has none.
func (o *Observer) Hint(extension string) (state string, err error) {
	answer, err := o.action(map[string]string{"Action": "ExtensionState", "Exten": extension, "Context": "default"})
	if err != nil {
		return "", fmt.Errorf("observer asks for the hint %s: %w", extension, err)
	}
	return answer["StatusText"], nil
}
