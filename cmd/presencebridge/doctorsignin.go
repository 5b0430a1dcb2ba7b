package main

import (
	"context"
	"fmt"
	"time"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/signin"
)

// providerTrial is how long doctor waits for what a provider says of itself.
const providerTrial = 15 * time.Second

// examineSignIn asks the providers at which people sign in, and says what they have to
// know of the bridge.
func (m *Main) examineSignIn(ctx context.Context, cfg config.SignIn) []diagnose.Step {
	defer m.progress("")
	var steps []diagnose.Step
	if cfg.Local {
		steps = append(steps, found("passwords", diagnose.OK, "accounts with passwords sign in at "+cfg.URL+"/sign-in", ""))
	}
	for _, p := range cfg.Providers {
		m.progress("sign-in: " + p.Name)
		steps = append(steps, providerStep(ctx, cfg.URL, p))
	}
	return steps
}

func providerStep(ctx context.Context, panel string, p config.Provider) diagnose.Step {
	ctx, cancel := context.WithTimeout(ctx, providerTrial)
	defer cancel()
	back := panel + signin.RedirectPath(p.Name)
	if _, err := signin.Ask(ctx, signin.NewClient(), p.Issuer); err != nil {
		return found("provider", diagnose.Failed, fmt.Sprintf("%s: %s does not say what it is: %s", p.Name, p.Issuer, signin.Shortened(err)),
			"see that this machine reaches it, and that issuer is what it calls itself at "+p.Issuer+"/.well-known/openid-configuration")
	}
	return found("provider", diagnose.OK, fmt.Sprintf("%s: %s answers; people sign in at %s/sign-in/%s", p.Name, p.Issuer, panel, p.Name),
		"the redirect address to register at the provider is "+back)
}
