package pbxtest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// phoneModules are what a real Asterisk needs to have PJSIP devices and to call
// them. It is the phone at the other end itself: every device of Options.Phones
// has its contact at Asterisk's own port, where the endpoint "telephone" rings
// until its variable says that somebody picked up. So the states are those of
// calls over SIP, and there is no phone to install.
const phoneModules = `load = res_sorcery_config.so
load = res_sorcery_memory.so
load = res_sorcery_astdb.so
load = res_statsd.so
load = res_pjproject.so
load = res_pjsip.so
load = res_pjsip_session.so
load = res_pjsip_pubsub.so
load = res_pjsip_endpoint_identifier_ip.so
load = res_rtp_asterisk.so
load = res_pjsip_sdp_rtp.so
load = codec_ulaw.so
load = chan_pjsip.so
load = res_clioriginate.so
`

const phoneDialplan = `[telephone]
exten => _X.,1,Ringing
 same => n(rings),Wait(0.05)
 same => n,GotoIf($["${PICKED_UP_${EXTEN}}" = "yes"]?:rings)
 same => n,Answer
 same => n,Wait(3600)
`

// pjsipConf has a device for each phone.
func (p *Real) pjsipConf(phones []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[loop]\ntype = transport\nprotocol = udp\nbind = 127.0.0.1:%d\n", p.sipPort)
	b.WriteString("[telephone]\ntype = endpoint\ncontext = telephone\ndisallow = all\nallow = ulaw\n" +
		"[telephone]\ntype = identify\nendpoint = telephone\nmatch = 127.0.0.1\n")
	for _, phone := range phones {
		fmt.Fprintf(&b, "[%s]\ntype = endpoint\naors = %[1]s\ndisallow = all\nallow = ulaw\n"+
			"[%[1]s]\ntype = aor\ncontact = sip:%[1]s@127.0.0.1:%d\n", phone, p.sipPort)
	}
	return b.String()
}

// Ring calls a phone. Its device is RINGING some moments later; the other end of
// the call is the device PJSIP/telephone, which has events too.
func (p *Real) Ring(phone string) {
	p.t.Helper()
	p.must("dialplan set global PICKED_UP_" + phone + " no")
	p.must("channel originate PJSIP/" + phone + " application Wait 3600")
}

// PickUp answers what rings. Its device is INUSE some moments later.
func (p *Real) PickUp(phone string) {
	p.t.Helper()
	p.must("dialplan set global PICKED_UP_" + phone + " yes")
}

// HangUp ends the calls of a phone. Its device is NOT_INUSE some moments later.
func (p *Real) HangUp(phone string) {
	p.t.Helper()
	for line := range strings.Lines(p.must("core show channels concise")) {
		channel, _, _ := strings.Cut(line, "!")
		if strings.HasPrefix(channel, "PJSIP/"+phone+"-") {
			p.must("channel request hangup " + channel)
		}
	}
}

func (p *Real) must(command string) string {
	p.t.Helper()
	out, err := p.cli(command)
	if err != nil {
		p.t.Fatalf("%s: %v", command, err)
	}
	return out
}

// freeUDPPort is freePort for SIP.
func freeUDPPort() (int, error) {
	for range 100 {
		port, err := freePort()
		if err != nil {
			return 0, err
		}
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err == nil {
			return port, c.Close()
		}
	}
	return 0, errors.New("no free port for SIP")
}

// Ring makes the device ring.
func (p *Simulated) Ring(phone string) { p.t.Helper(); p.phone(phone, "RINGING") }

// PickUp answers what rings.
func (p *Simulated) PickUp(phone string) { p.t.Helper(); p.phone(phone, "INUSE") }

// HangUp ends the calls of a phone.
func (p *Simulated) HangUp(phone string) { p.t.Helper(); p.phone(phone, "NOT_INUSE") }

func (p *Simulated) phone(phone, state string) {
	p.t.Helper()
	if !slices.Contains(p.phones, phone) {
		p.t.Fatalf("no phone %q in the Options of this test", phone)
	}
	if err := p.Sim.SetDevice("PJSIP/"+phone, state); err != nil {
		p.t.Fatal(err)
	}
}
