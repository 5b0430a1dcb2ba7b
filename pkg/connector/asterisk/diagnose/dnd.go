package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

const (
	dndFamily = "DND" // of FreePBX's feature codes, in the AstDB
	dndYes    = "YES" // what its dialplan compares with; off is no row
	maxRows   = 500   // that are read, one after the other
)

// dnd compares the DND devices with the rows by which FreePBX decides about calls.
// Nobody but feature codes writes those, so that a status chosen in the panel leaves them
// as they are. Where there is no row of any number somebody else decides.
func (x *examination) dnd(ctx context.Context) Step {
	if x.on == nil {
		return Step{Result: Info, Says: "not compared with the AstDB, as devices could not be listed"}
	}
	numbers := x.cfg.Extensions[:min(maxRows, len(x.cfg.Extensions))]
	var rejected, rings []string
	rows := 0
	for _, number := range numbers {
		row, exists, err := x.dndRow(ctx, number)
		if err != nil {
			return Step{Result: Info, Says: "not compared with the AstDB, which could not be read: " + x.denied(err, "read the AstDB").Says}
		}
		if exists {
			rows++
		}
		switch device := x.on[x.dndDevice(number)]; {
		case row && !device:
			rejected = append(rejected, number)
		case device && !row:
			rings = append(rings, number)
		}
	}
	switch {
	case rows == 0:
		return Step{Result: Info, Says: "no number has a row DND in the AstDB: nothing decides by it"}
	case len(rejected)+len(rings) == 0:
		return ok("devices and rows DND of the AstDB agree" + x.compared(len(numbers)))
	}
	return x.dndDisagrees(rejected, rings, x.compared(len(numbers)))
}

// compared says how many numbers were, if not all.
func (x *examination) compared(n int) string {
	if all := len(x.cfg.Extensions); n < all {
		return fmt.Sprintf(" (only the first %d of %d numbers were compared)", n, all)
	}
	return ""
}

func (x *examination) dndDevice(number string) string {
	return strings.Replace(x.cfg.DND, "{extension}", number, 1)
}

// dndRow reads whether FreePBX takes a number for one that is not to be disturbed.
func (x *examination) dndRow(ctx context.Context, number string) (on, exists bool, err error) {
	get, err := ami.DBGet(dndFamily, number)
	if err != nil {
		return false, false, nil // such a number has no feature codes
	}
	_, err = x.conn.List(ctx, get, "DBGetComplete", func(e ami.Event) { on, exists = e.Get("Val") == dndYes, true })
	var answer *ami.ResponseError
	if errors.As(err, &answer) && strings.EqualFold(answer.Message, ami.NoRow) {
		return false, false, nil
	}
	return on, exists, err
}

// dndDisagrees says what follows for calls, and how to mend it.
func (x *examination) dndDisagrees(rejected, rings []string, compared string) Step {
	var says, do []string
	if len(rejected) > 0 {
		says = append(says, "calls to these numbers are rejected although their DND device is off: "+few(rejected))
		do = append(do, fmt.Sprintf("asterisk -rx 'database del %s %s'", dndFamily, rejected[0]))
	}
	if len(rings) > 0 {
		says = append(says, "these phones ring although their DND device is on: "+few(rings))
		do = append(do, fmt.Sprintf("asterisk -rx 'database put %s %s %s'", dndFamily, rings[0], dndYes))
	}
	return warning("if calls are decided by the AstDB, as in FreePBX, "+strings.Join(says, ", and ")+compared,
		"let each dial FreePBX's *78 or *79 once, which write both, or run for each number: "+strings.Join(do, " or ")+
			"; or let the dialplan ask the device instead, as in ${DEVICE_STATE("+x.dndDevice("1001")+")}")
}
