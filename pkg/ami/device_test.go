package ami

import "testing"

func TestADeviceIsInUseOrNot(t *testing.T) {
	for state, want := range map[string]bool{
		"INUSE": true, "BUSY": true, "RINGING": true, "RINGINUSE": true, "ONHOLD": true,
		"NOT_INUSE": false, "UNKNOWN": false, "UNAVAILABLE": false, "INVALID": false, "": false, "busy": false,
	} {
		if got := InUse(state); got != want {
			t.Errorf("%q: %v", state, got)
		}
	}
}
