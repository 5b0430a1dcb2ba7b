package signin

// Every sentence that somebody who signs in may see, with the key of its translations.

func sentence(key, text string, args ...string) Message {
	m := Message{Key: key, Text: text}
	for i := 0; i < len(args); i += 2 {
		if m.Args == nil {
			m.Args = map[string]string{}
		}
		m.Args[args[i]] = args[i+1] //nolint:gosec // an odd one out is a bug of the caller
	}
	return m
}

func refused() Message {
	return sentence("signin.refused", "The name or the password is wrong.")
}

func disabled() Message {
	return sentence("signin.disabled", "This account is disabled: ask an administrator of the panel.")
}

func tooOften(minutes string) Message {
	return sentence("signin.too_often", "Too many sign-ins from here have failed; try again in {minutes} min.", "minutes", minutes)
}

func busy() Message {
	return sentence("signin.busy", "Too many people sign in at the moment; try again in a few seconds.")
}

func unsaved() Message {
	return sentence("signin.unsaved", "The bridge cannot write its store, so nothing was changed; try again, or tell its operator.")
}

func signedOutForNow() Message {
	return sentence("signin.signed_out_for_now", "You are signed out everywhere, but that could not be written, so that your sessions may be good again after a restart: sign in and do it once more.")
}

func noLocal() Message {
	return sentence("signin.no_passwords", "Nobody signs in with a password here; choose one of the other ways.")
}

func crossSite() Message {
	return sentence("signin.cross_site", "The request came from a page of another site; open the panel itself, and try again.")
}

func badForm() Message {
	return sentence("signin.bad_form", "The form did not arrive whole; go back, and send it again.")
}

// NotThere says that an address leads nowhere.
func NotThere() Message {
	return sentence("signin.not_there", "There is nothing here.")
}

func signInFirst() Message {
	return sentence("signin.first", "Sign in first.")
}

func invitationGone() Message {
	return sentence("signin.invitation_gone", "This link was used already, or has run out: ask an administrator of the panel for another one.")
}

func nameBad() Message {
	return sentence("signin.name_bad", "A name has 1 to 64 letters without accents, digits and _ . @ -, and begins with a letter, a digit or _.")
}

func nameTaken(name string) Message {
	return sentence("signin.name_taken", "There is an account {name} already; choose another name.", "name", name)
}

func passwordsDiffer() Message {
	return sentence("signin.passwords_differ", "The two passwords are not the same; type them again.")
}

func passwordShort() Message {
	return sentence("signin.password_short", "A password has at least 12 characters; several words are easy to remember.")
}

func passwordLong() Message {
	return sentence("signin.password_long", "A password has at most 1024 bytes.")
}

func passwordName() Message {
	return sentence("signin.password_name", "The password is the name of the account; choose another one.")
}

func passwordCommon() Message {
	return sentence("signin.password_common", "This password is one of those that everybody tries first; choose another one.")
}

func oldWrong() Message {
	return sentence("signin.old_wrong", "The present password is wrong.")
}

func noPassword(provider string) Message {
	return sentence("signin.no_password", "This account has no password here: {provider} says who you are.", "provider", provider)
}

func providerDown(provider string) Message {
	return sentence("signin.provider_down", "{provider} cannot be reached at the moment; try again, or sign in another way.", "provider", provider)
}

func providerRefused(provider string) Message {
	return sentence("signin.provider_refused", "{provider} did not let you in, or you have stopped it there.", "provider", provider)
}

func flowLost() Message {
	return sentence("signin.flow_lost", "This sign-in was begun too long ago, in another browser, or twice; begin it again.")
}

func notIdentified(provider string) Message {
	return sentence("signin.not_identified", "What {provider} says of you cannot be believed; begin again, and tell the bridge's operator if it happens again.", "provider", provider)
}

func noEmail(provider string) Message {
	return sentence("signin.no_email", "{provider} does not say what your address is; ask the operator of the bridge.", "provider", provider)
}

func notVerified(email, provider string) Message {
	return sentence("signin.email_not_verified", "{provider} does not say that {email} is yours; have the address verified there, or ask the operator of the bridge.", "email", email, "provider", provider)
}

func unknownUser(who, provider string) Message {
	return sentence("signin.unknown_user", "{provider} knows you as {who}, but no user of this panel is called so; ask an administrator of the panel.", "who", who, "provider", provider)
}
