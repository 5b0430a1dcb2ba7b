package diagnose

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// putRow writes a row of the AstDB.
func putRow(pbx pbxtest.PBX, family, key, value string) {
	switch pbx := pbx.(type) {
	case *pbxtest.Real:
		pbx.CLI("database put " + family + " " + key + " " + value)
	case *pbxtest.Simulated:
		pbx.Sim.SetRow(family, key, value)
	}
}

func withDND(address, user string) Config {
	c := config(address, user)
	c.DND = "Custom:DND{extension}"
	return c
}

func TestDNDDevicesAreComparedWithTheRowsThatDecideAboutCalls(t *testing.T) {
	pbxtest.Run(t, pbxtest.Options{Users: accounts()}, func(t *testing.T, pbx pbxtest.PBX) {
		key, err := ami.Open(t.Context(), config(pbx.Addr(), "everything").AMI, ami.Handler{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = key.Close() })
		device := func(number, state string) {
			t.Helper()
			set, err := ami.SetDevice("Custom:DND"+number, state)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := key.Do(t.Context(), set); err != nil {
				t.Fatal(err)
			}
		}
		for _, tc := range []struct {
			name string
			do   func()
			want Result
			says string
		}{
			{"nothing was ever switched", func() {}, Info, "nothing decides by it"},
			{"no family, and a device that is on", func() { device("1002", "BUSY") }, Info, "nothing decides by it"},
			{"a row of nobody's", func() { putRow(pbx, "DND", "9999", "YES") }, Info, "nothing decides by it"},
			{"a row without its device", func() { putRow(pbx, "DND", "1001", "YES") }, Warning,
				"calls to these numbers are rejected although their DND device is off: 1001, and these phones ring although their DND device is on: 1002"},
			{"and its device", func() { device("1001", "INUSE") }, Warning, "these phones ring although their DND device is on: 1002"},
			{"another word", func() { putRow(pbx, "DND", "1002", "NO") }, Warning, "on: 1002"},
			{"all", func() { putRow(pbx, "DND", "1002", "YES") }, OK, "agree"},
			{"a device that is off again", func() { device("1001", "UNAVAILABLE") }, Warning, "calls to these numbers are rejected although their DND device is off: 1001"},
		} {
			tc.do()
			step := expect(t, Examine(t.Context(), withDND(pbx.Addr(), "good"), nil), "dnd", tc.want, tc.says)
			if tc.want == Warning && !strings.Contains(step.Do, "*78") {
				t.Errorf("%s: do %q", tc.name, step.Do)
			}
		}
		if real, ok := pbx.(*pbxtest.Real); ok { // what doctor says mends it
			do := find(t, Examine(t.Context(), withDND(pbx.Addr(), "good"), nil), "dnd").Do
			for _, command := range regexp.MustCompile(`asterisk -rx '([^']*)'`).FindAllStringSubmatch(do, -1) {
				real.CLI(command[1])
			}
			expect(t, Examine(t.Context(), withDND(pbx.Addr(), "good"), nil), "dnd", OK, "agree")
		}
		expect(t, Examine(t.Context(), withDND(pbx.Addr(), "noreport"), nil), "dnd", Info, "the account may not read the AstDB")
	})
}

func TestAFewHundredRowsAreRead(t *testing.T) {
	pbx := simulated(t, pbxsim.Config{})
	c := withDND(pbx.Addr(), "good")
	c.Extensions = nil
	for i := range 700 {
		c.Extensions = append(c.Extensions, fmt.Sprint(1000+i))
		pbx.Sim.SetRow("DND", fmt.Sprint(1000+i), "YES")
	}
	expect(t, Examine(t.Context(), c, nil), "dnd", Warning, "calls to these numbers are rejected although their DND device is off: 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009 and 490 more"+
		" (only the first 500 of 700 numbers were compared)")
	if n := pbx.Sim.Stats().Actions["DBGet"]; n != 500 {
		t.Errorf("%d rows were read", n)
	}
}

func TestWithoutAListOfDevicesRowsAreNotRead(t *testing.T) {
	pbx := simulated(t, pbxsim.Config{})
	pbx.Unload(pbxsim.DeviceManager)
	expect(t, Examine(t.Context(), withDND(pbx.Addr(), "good"), nil), "dnd", Info, "devices could not be listed")
	for _, s := range Examine(t.Context(), config(pbx.Addr(), "good"), nil) {
		if s.Name == "dnd" {
			t.Error("without dnd in presencebridge.yaml there is nothing to compare")
		}
	}
}
