package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// SignIn says how people sign in to the web panel.
type SignIn struct {
	URL             string // of the panel as browsers see it, without a path; "": there is no panel
	Local           bool   // accounts with passwords may sign in
	OperatorsMaySet bool   // the status of others
	Idle            time.Duration
	Longest         time.Duration
	Providers       []Provider
}

// Provider is somebody who says who people are, by OpenID Connect.
type Provider struct {
	Name, Title   string
	Issuer        string
	ClientID      string
	ClientSecret  Secret
	Scopes        []string // beside openid
	Match         string   // email or username
	UsernameClaim string
	TrustEmail    bool
	GroupsClaim   string
	Roles         map[string][]string // groups by role
	MakeAccounts  bool
}

const (
	defaultIdle    = 12 * time.Hour
	defaultLongest = 7 * 24 * time.Hour
	mostLongest    = 90 * 24 * time.Hour
	mostProviders  = 16
	mostProxies    = 64
)

var (
	providerSecret = secretKeys{"client_secret", "client_secret_file", "secret", "the client at the provider"}
	providerName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
)

// readSignIn reads the block sign_in; where it is missing there is no panel.
func readSignIn(v value, h HTTP, p paths) SignIn {
	if v.missing() {
		return SignIn{}
	}
	o := v.object("url", "local", "operators_may_set", "idle", "longest", "providers")
	s := SignIn{
		URL:             readOrigin(o.at("url"), h),
		Local:           o.at("local").boolean(true),
		OperatorsMaySet: o.at("operators_may_set").boolean(false),
		Idle:            o.at("idle").duration(defaultIdle),
		Longest:         o.at("longest").duration(defaultLongest),
		Providers:       readProviders(o.at("providers"), p),
	}
	if s.Longest < time.Hour || s.Longest > mostLongest {
		o.at("longest").fault(quote(s.Longest.String())+" is no time to stay signed in", "write something from 1h to 2160h, which is 90 days")
	}
	if s.Idle < time.Minute || s.Idle > s.Longest {
		o.at("idle").fault(quote(s.Idle.String())+" is no time to stay signed in without doing anything", "write something from 1m to what longest says")
	}
	if !s.Local && len(s.Providers) == 0 && !o.at("providers").broken {
		o.at("local").fault("there is no provider either, so that nobody could sign in", "write local: true, or name a provider")
	}
	if h.Listen == "" {
		v.warn("http.listen is empty, so that nobody reaches the panel", "write an address under http.listen, or remove the block")
	}
	if strings.HasPrefix(s.URL, "https:") && h.Listen != "" && h.TLS == (Certificate{}) && len(h.TrustedProxies) == 0 {
		o.at("url").warn("every sign-in seems to come from the proxy, so that one who fails often slows down all", "name the address of the proxy under http.trusted_proxies, such as [127.0.0.1]")
	}
	return s
}

// readOrigin reads the address of the panel.
func readOrigin(v value, h HTTP) string {
	text, ok := v.required()
	if !ok {
		return ""
	}
	u, err := url.Parse(text)
	const example = "write its address as browsers see it, for example https://presence.example.com"
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		v.fault("is not the address of a panel", example)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		v.fault("has something behind the host, where the panel cannot be", "write the address without it, for example "+u.Scheme+"://"+u.Host)
	case u.Scheme == "http" && !localHost(u.Hostname()):
		v.fault("passwords and sessions would cross the network in clear", "write https, with a certificate under http.tls or a proxy that speaks TLS; http is for localhost alone")
	case u.Scheme == "http" && h.TLS != (Certificate{}):
		v.fault("is http, but http.listen speaks TLS", "write https")
	default:
		return u.Scheme + "://" + strings.ToLower(u.Host)
	}
	return ""
}

// localHost tells whether a host is this machine.
func localHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func readProviders(v value, p paths) (all []Provider) {
	items, _ := v.list()
	if len(items) > mostProviders {
		v.fault(fmt.Sprintf("%d providers are more than a page can show", len(items)), fmt.Sprintf("leave at most %d", mostProviders))
		return nil
	}
	first := map[string]int{}
	for _, item := range items {
		one := readProvider(item, p)
		if line, taken := first[one.Name]; taken && one.Name != "" {
			item.fault(fmt.Sprintf("the provider of line %d has the same name", line), "rename one of them")
		}
		first[one.Name] = item.line
		all = append(all, one)
	}
	return all
}

func readProvider(v value, p paths) Provider {
	o := v.object("name", "title", "issuer", "client_id", "client_secret", "client_secret_file", "scopes", "match", "username_claim", "trust_email",
		"groups_claim", "roles", "make_accounts")
	one := Provider{
		Issuer:        readIssuer(o.at("issuer")),
		ClientID:      readLine(o.at("client_id")),
		ClientSecret:  providerSecret.read(o, p),
		Scopes:        readTexts(o.at("scopes"), "email", "profile"),
		Match:         o.at("match").oneOf("email", "email", "username"),
		UsernameClaim: o.at("username_claim").unempty("preferred_username"),
		TrustEmail:    o.at("trust_email").boolean(false),
		GroupsClaim:   o.at("groups_claim").unempty("groups"),
		Roles:         readRoles(o.at("roles")),
		MakeAccounts:  o.at("make_accounts").boolean(false),
	}
	name, ok := o.at("name").required()
	if ok && !providerName.MatchString(name) {
		o.at("name").fault(quote(name)+" cannot be part of a link", "write 1 to 32 small letters, digits and hyphens, for example google")
		name = ""
	}
	one.Name, one.Title = name, o.at("title").text("")
	if one.Title == "" {
		one.Title = name
	}
	if o.has("username_claim") && one.Match != "username" {
		o.at("username_claim").warn("people are matched by their address, so that this does nothing", "write match: username, or remove it")
	}
	if o.has("groups_claim") && len(one.Roles) == 0 {
		o.at("groups_claim").warn("no role is given by groups, so that this does nothing", "write roles, or remove it")
	}
	return one
}

func readIssuer(v value) string {
	text, ok := v.required()
	u, err := url.Parse(text)
	switch {
	case !ok:
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		v.fault("is not the address of an issuer", "write what stands under issuer at its address with /.well-known/openid-configuration behind it, for example https://accounts.google.com")
	case u.Scheme == "http" && !localHost(u.Hostname()):
		v.fault("who people are would cross the network in clear", "write https; http is for localhost alone")
	default:
		return text
	}
	return ""
}

// readTexts reads a list of texts.
func readTexts(v value, otherwise ...string) []string {
	if v.missing() {
		return otherwise
	}
	items, _ := v.list()
	texts := make([]string, 0, len(items))
	for _, item := range items {
		if text, ok := item.required(); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func readRoles(v value) map[string][]string {
	if v.missing() {
		return nil
	}
	o := v.object("administrator", "operator", "user")
	roles := map[string][]string{}
	for _, f := range o.fields {
		role, groups := f.key, f.value
		if list := readTexts(groups); len(list) > 0 {
			roles[role] = list
		}
	}
	return roles
}

// readProxies reads the addresses of proxies, or networks of them.
func readProxies(v value) (all []netip.Prefix) {
	items, _ := v.list()
	if len(items) > mostProxies {
		v.fault(fmt.Sprintf("%d are too many to look at for every request", len(items)), fmt.Sprintf("leave at most %d, and write networks instead of addresses", mostProxies))
		return nil
	}
	for _, item := range items {
		text, ok := item.required()
		if !ok {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			network, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		switch {
		case err != nil:
			item.fault(quote(text)+" is neither an address nor a network", "write for example 127.0.0.1 or 10.0.0.0/8")
		case network.Bits() == 0:
			item.fault("is everybody, so that anybody could say where they come from", "name the proxy alone")
		default:
			all = append(all, network.Masked())
		}
	}
	return all
}
