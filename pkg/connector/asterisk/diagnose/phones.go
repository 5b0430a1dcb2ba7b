package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// deviceCanary is the device that is written, named so that it is nobody's phone.
func (x *examination) deviceCanary() string {
	return "Custom:presencebridge-" + x.cfg.Instance + "-canary"
}

// lost says what does not work without states of devices.
func (x *examination) lost() string {
	var what []string
	if x.cfg.Device != "" {
		what = append(what, "calls show in no status")
	}
	if x.cfg.Lamp != "" {
		what = append(what, "no lamp is set")
	}
	if x.cfg.DND != "" {
		what = append(what, "DND of feature codes and of presences go their own ways")
	}
	return strings.Join(what, ", ")
}

// phones tries what following phones and DND devices, and setting lamps, needs. Presence works
// without it, so that nothing here is a failure.
func (x *examination) phones(ctx context.Context) Step {
	if x.lost() == "" {
		return Step{Result: Info, Says: "not followed, as device is empty in presencebridge.yaml"}
	}
	found, on := make(map[string]bool), make(map[string]bool)
	_, err := x.conn.List(ctx, ami.DeviceStateList(), "DeviceStateListComplete", func(e ami.Event) {
		found[e.Get("Device")], on[e.Get("Device")] = true, ami.InUse(e.Get("State"))
	})
	if err == nil {
		x.on = on
		err = x.writeDevice(ctx)
	}
	var answer *ami.ResponseError
	switch {
	case errors.As(err, &answer) && strings.HasPrefix(answer.Message, "Invalid/unknown command"):
		return warning(x.lost()+": Asterisk does not know DeviceStateList, as res_manager_devicestate.so is not loaded",
			"write this line, remove a noload line of that module, and run: asterisk -rx 'module load res_manager_devicestate.so'", load("res_manager_devicestate.so"))
	case errors.As(err, &answer) && strings.EqualFold(answer.Message, "Variable not set"):
		return warning(x.lost()+": whether states of devices are told cannot be tried, as func_devstate.so is not loaded",
			"write this line, remove a noload line of that module, and run: asterisk -rx 'module load func_devstate.so'", load("func_devstate.so"))
	case errors.Is(err, ami.ErrIncomplete):
		return warning(x.lost()+": the list of devices is not whole: the connection broke, or a device has a line break in its name",
			"run doctor again; look for odd names with: asterisk -rx 'database show CustomDevstate'")
	case err != nil:
		denied := x.denied(err, "list or set states of devices")
		denied.Result = Warning
		return denied
	}
	if says, do, deaf := x.deviceEvent(ctx); deaf {
		return warning(says, do, x.account(x.version.filters(len(x.cfg.Members) > 0)...))
	}
	return x.devices(found)
}

// writeDevice gives the canary two states, since one that it has already is not told.
func (x *examination) writeDevice(ctx context.Context) error {
	for _, on := range []bool{false, true} {
		set, err := ami.SetCustomDevice(x.deviceCanary(), on)
		if err != nil {
			return err
		}
		if _, err := x.conn.Do(ctx, set); err != nil {
			return err
		}
		x.rang = true
	}
	return nil
}

func (x *examination) deviceEvent(ctx context.Context) (says, do string, deaf bool) {
	timer := time.NewTimer(x.cfg.EventWait)
	defer timer.Stop()
	select {
	case <-x.ear.rang:
		return "", "", false
	case <-timer.C:
	case <-ctx.Done():
	}
	return x.lost() + fmt.Sprintf(": Asterisk took the state of a device, but its event did not come within %s: an eventfilter of the account drops DeviceStateChange, or disabledevents does", x.cfg.EventWait),
		"see that the account has no other eventfilter than these, and that disabledevents in [general] does not name DeviceStateChange; " + reload, true
}

// devices tells which users' extensions have no device.
func (x *examination) devices(found map[string]bool) Step {
	var missing []string
	for _, number := range x.cfg.Extensions {
		if !found[strings.Replace(x.cfg.Device, "{extension}", number, 1)] {
			missing = append(missing, number)
		}
	}
	says := "states of devices are listed and told"
	if x.cfg.Device == "" {
		return ok(says + "; phones are not followed, as device is empty in presencebridge.yaml")
	}
	if len(missing) == 0 {
		return ok(says)
	}
	return Step{Result: Info,
		Says: fmt.Sprintf("%s; %d of %d in the mapping have no device that Asterisk knows: %s", says, len(missing), len(x.cfg.Extensions), few(missing)),
		Do: "nothing, if no phone belongs to them; else see that device in presencebridge.yaml is what `core show hints` names, as in " +
			strings.Replace(x.cfg.Device, "{extension}", missing[0], 1)}
}
