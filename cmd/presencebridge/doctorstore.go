package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// storeServerSteps logs in to the database server and tries what the bridge needs there.
func (m *Main) storeServerSteps(ctx context.Context, s config.Store) []diagnose.Step {
	const name = "store"
	if s.Password.Reveal() == "" && !s.Unix() {
		return []diagnose.Step{found(name, diagnose.Warning, "nothing was tried: you may not read the password of "+s.User, "run doctor as root")}
	}
	m.progress("store: " + s.Address)
	h, err := examineStore(ctx, s)
	m.progress("")
	var trouble *store.Trouble
	switch {
	case errors.As(err, &trouble):
		return []diagnose.Step{found(name, diagnose.Failed, trouble.Err.Error(), trouble.Do)}
	case err != nil:
		return []diagnose.Step{found(name, diagnose.Failed, err.Error(), "correct what stands under store")}
	}
	steps := []diagnose.Step{found(name, diagnose.OK, fmt.Sprintf("%s at %s lets %s in, who may write and make tables in %s", h.Version, s.Address, s.User, s.Database), "")}
	for _, w := range h.Warnings {
		steps = append(steps, found(name, diagnose.Warning, w.Err.Error(), w.Do))
	}
	switch {
	case h.Schema == 0:
		steps = append(steps, found(name, diagnose.Info, "it is empty; the bridge makes its tables when it starts", ""))
	case h.Holder == "":
		steps = append(steps, found(name, diagnose.Info, "no bridge holds it", ""))
	default:
		steps = append(steps, found(name, diagnose.Info, "a bridge on "+h.Holder+" holds it, or did until it was cut off", ""))
	}
	return steps
}
