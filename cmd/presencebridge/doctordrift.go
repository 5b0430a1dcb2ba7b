package main

import (
	"context"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
)

// longDrift is from when on it is wrong that a phone does not show what was chosen. For a
// moment it is so after each choice.
const longDrift = time.Minute

// drift is what a bridge says of it under /api/v1/health.
type drift struct {
	Count  int               `json:"count"`
	Oldest float64           `json:"oldest"` // its age in seconds
	Items  []bridge.Drifting `json:"items"`  // the oldest first
}

// driftSteps asks the bridge that runs whether phones show what was chosen. A standby, or
// one of an earlier version, says nothing of that.
func (m *Main) driftSteps(ctx context.Context, socket string) []diagnose.Step {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var h struct {
		Drift *drift `json:"drift"`
	}
	if err := dial(socket, "cli").get(ctx, "/api/v1/health", &h); err != nil || h.Drift == nil {
		return nil
	}
	return []diagnose.Step{h.Drift.step()}
}

func (d *drift) step() diagnose.Step {
	const name = "drift"
	old := time.Duration(d.Oldest * float64(time.Second))
	if old < longDrift || len(d.Items) == 0 {
		return found(name, diagnose.OK, "all show what was chosen", "")
	}
	first := d.Items[0]
	why := "it was written, and its event has not come"
	switch {
	case !first.Reachable:
		why = "its PBX is away"
	case first.Refusals > 0:
		why = "the PBX refuses it"
	case !first.Sent:
		why = "it has not been written"
	}
	others, user := "", plain(string(first.User))
	if n := d.Count - 1; n > 0 {
		others = fmt.Sprintf("; nor do %d more what was chosen for them", n)
	}
	return found(name, diagnose.Warning,
		fmt.Sprintf("%s/%s of %s does not show what was chosen %s: %s%s", first.PBX, first.Extension, user, ago(old), why, others),
		fmt.Sprintf("mend what is said of PBX %s; presencebridge explain %s tells what it shall show", first.PBX, user))
}
