package pbxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// ariModules are what a real Asterisk needs beside modules for ARI as far as the
// simulation has it: the last ones are there because res_ari_channels needs them.
// res_websocket_client came with 22.5; an older one goes on without it.
const ariModules = `load = res_sorcery_config.so
load = res_http_websocket.so
load = res_websocket_client.so
load = res_stasis.so
load = res_ari_model.so
load = res_ari.so
load = res_ari_asterisk.so
load = res_ari_applications.so
load = res_ari_device_states.so
load = res_ari_endpoints.so
load = res_ari_events.so
load = res_stasis_device_state.so
load = app_stasis.so
load = app_userevent.so
load = res_stasis_answer.so
load = res_stasis_playback.so
load = res_stasis_recording.so
load = res_stasis_snoop.so
load = res_musiconhold.so
load = res_ari_channels.so
`

// ari returns the files that open ARI for the accounts and the probe's.
func (p *Real) ari(o Options) map[string]string {
	var b strings.Builder
	b.WriteString("[general]\nenabled = yes\n")
	for _, u := range append([]pbxsim.User{p.probe}, o.Users...) {
		fmt.Fprintf(&b, "[%s]\ntype = user\npassword = %s\n", u.Name, u.Secret)
		if u.ReadOnly {
			b.WriteString("read_only = yes\n")
		}
	}
	return map[string]string{
		"http.conf": fmt.Sprintf("[general]\nenabled = yes\nbindaddr = 127.0.0.1\nbindport = %d\n", p.ariPort) + p.text(o.Conf.HTTP),
		"ari.conf":  b.String(),
	}
}

// ARI is where ARI answers.
func (p *Real) ARI() string {
	p.t.Helper()
	if p.ariPort == 0 {
		p.t.Fatal("this Asterisk has no ARI: set Options.ARI")
	}
	return "http://127.0.0.1:" + strconv.Itoa(p.ariPort) + "/ari"
}

// ARI is where ARI answers.
func (p *Simulated) ARI() string {
	p.t.Helper()
	if p.Sim.ARI() == "" {
		p.t.Fatal("this PBX has no ARI: set Options.ARI")
	}
	return p.Sim.ARI()
}

// WriteOverARI writes a raw value to PRESENCE_STATE(presentity) over ARI, which
// unlike AMI takes any byte in the name of a presentity. Asterisk answers success
// whatever became of it. The PBX needs Options.ARI.
func (p *Real) WriteOverARI(ctx context.Context, presentity, value string) error {
	if value == "" {
		return errors.New("a variable without a value crashes Asterisk (funcs/func_presencestate.c:214)")
	}
	if p.ariPort == 0 {
		return errors.New("this Asterisk has no ARI: set Options.ARI")
	}
	// In a form, since a request line ends at 4096 bytes (main/http.c:86).
	form := url.Values{"variable": {"PRESENCE_STATE(" + presentity + ")"}, "value": {value}}
	ctx, cancel := context.WithTimeout(ctx, cliDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://127.0.0.1:"+strconv.Itoa(p.ariPort)+"/ari/asterisk/variable", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(p.probe.Name, p.probe.Secret)
	req.Close = true // no connection outlives the test
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("write over ARI: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("write over ARI: %s %s: %w", resp.Status, text, errors.Join(err, errRefusedARI))
	}
	return nil
}

var errRefusedARI = errors.New("the PBX does not take it")
