package diagnose

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/presencebridge/presencebridge/pkg/ari"
)

// The steps of ARI that others need.
const (
	stepRights = "rights"
	stepRead   = "presence"
)

const (
	reloadHTTP = "then run: asterisk -rx 'module reload http'"
	reloadARI  = "then run: asterisk -rx 'module reload res_ari.so'"
)

// restful is an examination of ARI.
type restful struct {
	cfg       Config
	address   string    // host:port
	conn      *ari.Conn // from the login on, unless it is forbidden
	forbidden bool      // the account is read_only
	wrote     bool      // the canary was
}

func (x *restful) plan() []step {
	return []step{
		{stepConnection, nil, x.connection},
		{stepLogin, []string{stepConnection}, x.login},
		{stepRights, []string{stepLogin}, x.rights},
		{"version", []string{stepRights}, x.version},
		{stepRead, []string{stepRights}, x.presence},
		{"phones", []string{stepRights}, x.phones},
	}
}

// ExamineARI is Examine for ARI. It registers a Stasis application of its own, so
// that a running bridge keeps its.
func ExamineARI(ctx context.Context, cfg Config, begin func(step string)) []Step {
	cfg.ARI.Timeout = cmp.Or(cfg.ARI.Timeout, 5*time.Second)
	cfg.ARI.App = cfg.ARI.App[:min(len(cfg.ARI.App), 50)] + "-doctor"
	x := &restful{cfg: cfg}
	defer x.leave(ctx)
	return try(ctx, x.plan(), begin)
}

// leave takes back what was written, as far as Asterisk can.
func (x *restful) leave(ctx context.Context) {
	if x.conn == nil {
		return
	}
	if x.wrote {
		_ = x.conn.SetPresence(context.WithoutCancel(ctx), x.cfg.canary(), "not_set", "", "") // the next run writes the same row
	}
	_ = x.conn.Close() // always nil
}

func (x *restful) connection(ctx context.Context) Step {
	at, err := url.Parse(x.cfg.ARI.URL)
	if err != nil || at.Hostname() == "" {
		return failed("ari.url is no URL", "write it as in http://127.0.0.1:8088/ari")
	}
	x.address = net.JoinHostPort(at.Hostname(), cmp.Or(at.Port(), map[string]string{"http": "80", "https": "443"}[at.Scheme]))
	ctx, cancel := context.WithTimeout(ctx, x.cfg.ARI.Timeout)
	defer cancel()
	dial := x.cfg.ARI.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	wire, err := dial(ctx, "tcp", x.address)
	switch {
	case err == nil:
		_ = wire.Close() // nothing was asked of it
		return ok(x.address + " takes connections")
	case errors.Is(err, syscall.ECONNREFUSED):
		return failed("nothing listens at "+x.address,
			"see that Asterisk runs there and that its web server is on: write these lines, "+reloadHTTP+"; or correct ari.url", x.listens(at))
	}
	return failed(fmt.Sprintf("%s cannot be reached: %v", x.address, cause(err)), "see that the name, the network and the firewalls between here and there are right")
}

// listens is what makes Asterisk's web server listen where we try.
func (x *restful) listens(at *url.URL) Fix {
	host, port, _ := net.SplitHostPort(x.address)
	if net.ParseIP(host) == nil {
		host = "0.0.0.0"
	}
	lines := []string{"enabled = yes", "bindaddr = " + host, "bindport = " + port}
	if at.Scheme == "https" {
		lines = []string{"enabled = yes", "tlsenable = yes", "tlsbindaddr = " + net.JoinHostPort(host, port),
			"tlscertfile = /etc/asterisk/keys/asterisk.pem", "tlsprivatekey = /etc/asterisk/keys/asterisk.key"}
	}
	return Fix{"http.conf", "[general]", lines}
}

// account is a fix in the account's section.
func (x *restful) account(lines ...string) Fix {
	return Fix{"ari.conf", "[" + x.cfg.ARI.Username + "]", lines}
}

func (x *restful) login(ctx context.Context) Step {
	if x.cfg.Refused != "" {
		return failed("not tried again: "+x.cfg.Refused, "correct that first, so that no address gets banned")
	}
	conn, err := ari.Open(ctx, x.cfg.ARI, ari.Handler{})
	var untrusted *tls.CertificateVerificationError
	switch {
	case err == nil:
		x.conn = conn
	case errors.Is(err, ari.ErrForbidden):
		x.forbidden = true
	case errors.Is(err, ari.ErrAuth):
		return failed("Asterisk does not take the account "+x.cfg.ARI.Username+" with this password",
			"let ari.conf have this section, with the content of password_file, "+reloadARI, x.account("type = user", "password = ..."))
	case errors.Is(err, ari.ErrNotFound):
		return failed("there is a web server, but no ARI under this URL",
			"see that ari.url ends in /ari, behind the prefix of http.conf if that has one, and that ari.conf has this line and res_ari.so and res_ari_events.so are loaded",
			Fix{"ari.conf", "[general]", []string{"enabled = yes"}})
	case errors.As(err, &untrusted):
		return failed(fmt.Sprintf("the certificate is not trusted: %v", untrusted.Err),
			"name the certificate of who signed it, and the name it is for if that is not the host of ari.url",
			Fix{"presencebridge.yaml", "pbx " + x.cfg.Name + ", ari", []string{"tls: {ca_file: /etc/presencebridge/pbx-ca.pem}"}})
	default:
		return failed(err.Error(), "see that this is the port of Asterisk's web server, with TLS where ari.url begins with https, and look in Asterisk's log")
	}
	return ok("Asterisk takes the account " + x.cfg.ARI.Username)
}

func (x *restful) rights(context.Context) Step {
	if x.forbidden {
		return failed("the account is read_only: it can neither register an application nor set a presence",
			"remove read_only, "+reloadARI, x.account("read_only = no"))
	}
	return ok("it is not read_only, and an application could be registered")
}

func (x *restful) version(ctx context.Context) Step {
	info, err := x.conn.Info(ctx)
	if err != nil {
		return failed(err.Error(), "see that res_ari_asterisk.so is loaded")
	}
	return ok("Asterisk " + info.Version)
}

// presence sets one, reads it back and compares: the answer to a write says nothing.
func (x *restful) presence(ctx context.Context) Step {
	nonce := rand.Text()
	if err := x.conn.SetPresence(ctx, x.cfg.canary(), "available", "", nonce); err != nil {
		return failed(err.Error(), "see that res_ari_asterisk.so is loaded")
	}
	x.wrote = true
	got, err := x.conn.Presences(ctx, x.cfg.canary())
	load := func(modules ...string) Fix {
		fix := Fix{File: "modules.conf", Section: "[modules]"}
		for _, m := range modules {
			fix.Lines = append(fix.Lines, "load = "+m)
		}
		return fix
	}
	const then = "let these be loaded, and restart Asterisk, or run `module load` with each of them in its CLI"
	switch {
	case errors.Is(err, ari.ErrNotFound):
		return failed("there is no channel to read presence on", then, load("res_ari_channels.so", "app_stasis.so", "res_stasis.so"))
	case errors.Is(err, ari.ErrMalformed):
		return failed("presence cannot be read", then, load("func_presencestate.so", "func_base64.so", "func_strings.so"))
	case err != nil:
		return failed(err.Error(), then, load("res_ari_channels.so", "app_stasis.so", "func_presencestate.so", "func_strings.so"))
	case got[0].State != "available" || got[0].Message != nonce:
		return failed("Asterisk said that it took a presence, and shows another one", then, load("func_presencestate.so"))
	}
	return ok(x.cfg.canary() + " could be set, and read on a channel that is parked for it")
}

func (x *restful) phones(ctx context.Context) Step {
	if x.cfg.Device == "" {
		return Step{Result: Info, Says: "device is empty: phones are not followed"}
	}
	const do = "see that res_ari_device_states.so, res_stasis_device_state.so and res_ari_applications.so are loaded"
	if err := x.conn.Subscribe(ctx, ari.AllDevices); err != nil {
		return failed(err.Error(), do)
	}
	var none []string
	some := x.cfg.Extensions[:min(len(x.cfg.Extensions), 20)]
	for _, number := range some {
		d, err := x.conn.DeviceState(ctx, strings.Replace(x.cfg.Device, "{extension}", number, 1))
		if err != nil {
			return failed(err.Error(), do)
		}
		if slices.Contains([]string{"INVALID", "UNKNOWN"}, d.State) {
			none = append(none, number)
		}
	}
	if len(none) > 0 {
		return Step{Result: Info, Says: fmt.Sprintf("states of devices are told; %d of %d that were asked for have no device that Asterisk knows: %s", len(none), len(some), strings.Join(none, ", ")),
			Do: "nothing, if no phone belongs to them; else see that device in presencebridge.yaml is what `core show hints` names"}
	}
	return ok("states of devices are told")
}
