package pbxsim_test

import (
	"strings"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// setDevice asks for a write and returns the response; the event is up to a fence.
func (c *client) setDevice(device, state string) string {
	c.t.Helper()
	return c.ask("Action: Setvar", "Variable: DEVICE_STATE("+device+")", "Value: "+state)
}

func (c *client) device(name string) string {
	c.t.Helper()
	_, state, _ := strings.Cut(c.ask("Action: Getvar", "Variable: DEVICE_STATE("+name+")"), "Value: ")
	return state
}

// deviceList reads a whole DeviceStateList into the log.
func (c *client) deviceList() {
	c.t.Helper()
	c.send("Action: DeviceStateList")
	c.await("Event: DeviceStateListComplete")
}

// deviceFence is fence for devices, whose events take another way through
// Asterisk than those of presence. A state that does not change has no event.
func (c *client) deviceFence() {
	c.t.Helper()
	state := "INUSE"
	if c.fenced = !c.fenced; c.fenced {
		state = "RINGING"
	}
	c.write("Action: Setvar\r\nVariable: DEVICE_STATE(Custom:fence)\r\nValue: " + state + "\r\nActionID: fence\r\n\r\n")
	for {
		f := c.frame()
		switch {
		case f == "":
			c.t.Fatal("the connection ended before the fence came back")
		case has(f, "ActionID: fence"):
		case has(f, "Device: Custom:fence") && has(f, "Privilege: call,all"):
			return
		default:
			c.note("< ", f)
		}
	}
}

// devices are writes of states of devices, taken or refused, with their events.
func devices(c *client) {
	c.remark("no device yet")
	c.deviceList()
	for _, v := range []struct{ claim, device, state string }{
		{"a device", "Custom:1", "BUSY"},
		{"the same again is not told", "Custom:1", "BUSY"},
		{"small letters", "Custom:1", "not_inuse"},
		{"no such state", "Custom:1", "bogus"},
		{"a state for people", "Custom:1", "Not in use"},
		{"no state", "Custom:1", ""},
		{"nobody writes UNKNOWN", "Custom:1", "UNKNOWN"},
		{"INVALID is a state", "Custom:1", "INVALID"},
		{"unavailable", "Custom:1", "UNAVAILABLE"},
		{"ringing", "Custom:1", "RINGING"},
		{"ringing in use", "Custom:1", "RINGINUSE"},
		{"on hold", "Custom:1", "ONHOLD"},
		{"a blank before is AMI's", "Custom:1", " INUSE"},
		{"a blank behind", "Custom:1", "INUSE "},
		{"the prefix in small letters is told in its own", "custom:1", "BUSY"},
		{"the prefix in capitals", "CUSTOM:Bob", "INUSE"},
		{"names have a case", "Custom:bob", "RINGING"},
		{"no name", "Custom:", "BUSY"},
		{"no such provider", "Foo:1", "BUSY"},
		{"a device of a channel driver", "PJSIP/1001", "BUSY"},
		{"a slash in the name", "Custom:a/b", "BUSY"},
		{"a carriage return is not escaped", "Custom:a\rb", "BUSY"},
		{"nothing is", "Custom:a b\tc é\"\\?", "BUSY"},
		{"a long name is cut in the event", "Custom:" + strings.Repeat("n", 100), "BUSY"},
		{"and is the same device as what it is cut to", "Custom:" + strings.Repeat("n", 101), "BUSY"},
		{"several are one", "Custom:x&Custom:1", "BUSY"},
	} {
		c.remark(v.claim)
		c.setDevice(v.device, v.state)
		c.deviceFence()
	}
	c.ask("Action: Setvar", "Variable: DEVICE_STATE(Custom:1)")
	c.remark("the devices")
	c.deviceList()
	deviceReadings(c)
}

func deviceReadings(c *client) {
	for _, name := range []string{
		"Custom:1", "custom:1", "Custom:Bob", "custom:BOB", "Custom:never", "Custom:", "Foo:1", "1001", "", "PJSIP/none", "Local/none@nowhere",
		"Custom:a/b", "Custom:b", "Custom:x&Custom:1", "Custom:Bob&Custom:1", "Custom:" + strings.Repeat("n", 100), "Custom:" + strings.Repeat("n", 102),
	} {
		c.device(name)
	}
}

// deviceModules takes away what states of devices depend on, and brings it back.
func deviceModules(c *client, p pbxtest.PBX) {
	c.remark("unload " + string(pbxsim.DeviceManager))
	p.Unload(pbxsim.DeviceManager)
	c.await("Event: Unload")
	c.ask("Action: DeviceStateList")
	c.setDevice("Custom:1", "RINGING")
	c.device("Custom:1")
	c.remark("load it: nothing is told again")
	p.Load(pbxsim.DeviceManager)
	c.await("Event: Load")
	c.deviceList()
	c.setDevice("Custom:1", "INUSE")
	c.deviceFence()
	c.remark("unload " + string(pbxsim.DeviceFunction))
	p.Unload(pbxsim.DeviceFunction)
	c.await("Event: Unload")
	c.setDevice("Custom:1", "BUSY")
	c.device("Custom:1")
	c.device("Custom:never")
	c.deviceList()
	c.remark("load it: only a name with a slash is told, wrongly")
	p.Load(pbxsim.DeviceFunction)
	c.await("Event: Load")
	c.deviceFence()
}
