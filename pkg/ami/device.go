package ami

// InUse tells whether a device in this state is in use in some way, held or ringing
// (main/devicestate.c:62): what lights a lamp, and what says do not disturb.
func InUse(state string) bool {
	switch state {
	case "INUSE", "BUSY", "RINGING", "RINGINUSE", "ONHOLD":
		return true
	}
	return false
}
