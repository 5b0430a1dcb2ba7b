package config

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Tracing says which collector of OpenTelemetry is told of the ways of events and choices.
type Tracing struct {
	URL    string  // where spans are posted; "": nobody is told, and nothing else is set
	Share  float64 // of events and choices, 0 to 1
	Users  bool    // traces name users and extensions
	Header string  // that has the token; "": there is none
	Token  Secret  // with its scheme, if it has one
	TLS    TLS     // enabled by https
}

const (
	defaultShare  = 0.01
	defaultHeader = "Authorization"
	tracesPath    = "/v1/traces" // of OTLP over HTTP
)

var (
	tracingSecret = secretKeys{"token", "token_file", "token", "the collector"}
	headerName    = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	ownHeaders    = []string{"host", "content-type", "content-length", "transfer-encoding", "connection", "user-agent"}
)

// readTracing reads the block tracing; where it is missing nothing is traced.
func readTracing(v value, p paths) Tracing {
	o := v.object("endpoint", "sample", "users", "header", "token", "token_file", "insecure", "tls")
	t := Tracing{
		URL:    readEndpoint(o.at("endpoint"), o.at("insecure").boolean(false)),
		Share:  o.at("sample").share(defaultShare),
		Users:  o.at("users").boolean(false),
		Header: readHeader(o.at("header")),
		TLS:    readARITLS(o.at("tls"), p),
	}
	if off := o.has("endpoint") && o.at("endpoint").node.Value == ""; !off && (o.has("token") || o.has("token_file")) {
		t.Token = tracingSecret.read(o, p)
	} else if t.Header = ""; o.has("header") && o.at("header").node.Value != defaultHeader {
		o.at("header").warn("there is no token, so that this does nothing", "name the file of the token as token_file, or remove it")
	}
	encrypted := strings.HasPrefix(t.URL, "https:")
	switch {
	case t.URL == "":
		if !v.missing() && !o.has("endpoint") {
			o.at("endpoint").warn("nothing says where the collector is, so that nothing is traced", "write its address, such as http://127.0.0.1:4318, or remove the block")
		}
		return Tracing{}
	case !encrypted && t.TLS != (TLS{}):
		o.at("tls").warn("the endpoint begins with http, so what stands here does nothing and the connection is not encrypted", "write https, or remove the block")
	}
	t.TLS.Enabled = encrypted
	return t
}

// readEndpoint reads the address of a collector and returns where it takes traces; "" where
// it is faulty, or empty.
func readEndpoint(v value, insecure bool) string {
	text := v.text("")
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		// It is not shown: a user and a password may stand in it.
		v.fault("is not the address of a collector", "write http://127.0.0.1:4318, or https://host:4318, without user, query and fragment; a token has a file of its own, token_file")
		return ""
	}
	if u.Scheme == "http" && !insecure && !loopback(net.JoinHostPort(u.Hostname(), "80")) {
		v.fault("what the traces tell, and the token, would cross the network in clear", "use https, or write insecure: true if that network is yours alone")
	}
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, tracesPath) {
		u.Path += tracesPath
	}
	return u.String()
}

func readHeader(v value) string {
	text := v.unempty(defaultHeader)
	if !headerName.MatchString(text) || slices.Contains(ownHeaders, strings.ToLower(text)) {
		v.fault(quote(text)+" is no header for a token", "write the one that the collector asks for, of letters, digits and hyphens, or remove the line for "+defaultHeader)
		return defaultHeader
	}
	return text
}

// share reads a part of a whole.
func (v value) share(otherwise float64) float64 {
	if !v.is(yaml.ScalarNode) {
		return otherwise
	}
	f, err := strconv.ParseFloat(v.node.Value, 64)
	if err != nil || v.node.Style != 0 || !(f >= 0 && f <= 1) {
		v.fault("is not a share", "write a number from 0 to 1, without quotes, such as 0.01 for one in a hundred")
		return otherwise
	}
	return f
}
