package config

import (
	"net"
	"net/url"
	"regexp"
	"strings"
)

const defaultApp = "presencebridge"

// appText is what an application of Stasis may be called here: it is part of paths.
var appText = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)

// readARI reads how to reach ARI. The block is there.
func readARI(v value, p paths) ARI {
	o := v.object("url", "username", "password", "password_file", "app", "tls", "insecure", "publish")
	ari := ARI{
		URL:      readURL(o.at("url"), o.at("insecure").boolean(false)),
		Username: readLine(o.at("username")),
		Password: ariSecret.read(o, p),
		App:      readApp(o.at("app"), defaultApp),
		Publish:  readApp(o.at("publish"), ""),
		TLS:      readARITLS(o.at("tls"), p),
	}
	if strings.Contains(ari.Username, ":") {
		o.at("username").fault("a user of ARI has no colon in its name", "write the name of a section of ari.conf")
	}
	if ari.Publish != "" && ari.Publish == ari.App {
		o.at("publish").fault("that is the bridge's own application, which would only tell itself", "name the application of another program, or remove it")
	}
	encrypted := strings.HasPrefix(ari.URL, "https:")
	if ari.URL != "" && !encrypted && ari.TLS != (TLS{}) {
		o.at("tls").warn("the url begins with http, so what stands here does nothing and the connection is not encrypted", "write https (port 8089), or remove the block")
	}
	ari.TLS.Enabled = encrypted
	return ari
}

// readURL reads the URL of ARI; what is faulty comes back empty.
func readURL(v value, insecure bool) string {
	text, ok := v.required()
	if !ok {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		// It is not shown: a user and a password may stand in it.
		v.fault("is not the URL of ARI", "write http://127.0.0.1:8088/ari, or https://host:8089/ari, without user, query and fragment")
		return ""
	}
	if u.Scheme == "http" && !insecure && !loopback(net.JoinHostPort(u.Hostname(), "80")) {
		v.fault("the password of the account and all presence would cross the network in clear",
			"use https (tlsenable = yes in http.conf, port 8089), or write insecure: true if that network is yours alone")
	}
	return text
}

func readApp(v value, otherwise string) string {
	text := v.text(otherwise)
	if text != otherwise && !appText.MatchString(text) {
		v.fault(quote(text)+" is not a name of an application", "write 1 to 64 letters, digits, dots, hyphens and underscores, the first one a letter, digit or underscore")
		return otherwise
	}
	return text
}

// readARITLS reads what to expect of the certificate; https itself turns TLS on.
func readARITLS(v value, p paths) TLS {
	o := v.object("ca_file", "server_name")
	t := TLS{ServerName: o.at("server_name").text("")}
	t.CAFile = readAuthorities(o.at("ca_file"), p)
	return t
}

// sameApps finds PBXs that would take one application from each other for ever.
func sameApps(v value, pbxs []PBX) {
	first := make(map[[2]string]string)
	for _, p := range pbxs {
		if p.ARI.URL == "" {
			continue
		}
		at := [2]string{strings.TrimRight(p.ARI.URL, "/"), p.ARI.App}
		if other, taken := first[at]; taken {
			v.fault("the PBXs "+quote(other)+" and "+quote(p.Name)+" have the same ari.url and ari.app, and would take the application from each other",
				"give one of them another app, or remove it")
		}
		first[at] = p.Name
	}
}
