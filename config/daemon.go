package config

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

const (
	presentityPrefix = "CustomPresence:"
	extensionMark    = "{extension}"

	// A presentity is stored and listed under at most 64 characters after its
	// prefix; a longer one has another name after a restart of Asterisk
	// (main/presencestate.c:358, funcs/func_presencestate.c:858).
	maxName = 64
)

// readDaemon reads presencebridge.yaml.
func readDaemon(root value) Daemon {
	top := root.object("mapping", "pbx", "store", "panel", "http", "sign_in", "tracing", "log")
	p := pathsFor(root.doc.file)
	http := readHTTP(top.at("http"), p)
	return Daemon{
		Mapping: p.beside(top.at("mapping").unempty(defaultMapping)),
		PBX:     readPBXs(top.at("pbx"), p),
		Store:   readStore(top.at("store"), p),
		Panel:   readPanel(top.at("panel"), p),
		HTTP:    http,
		SignIn:  readSignIn(top.at("sign_in"), http, p),
		Tracing: readTracing(top.at("tracing"), p),
		Log:     readLog(top.at("log")),
	}
}

func readPBXs(v value, p paths) []PBX {
	items, ok := v.list()
	if v.missing() && !v.broken || ok && len(items) == 0 {
		v.fault("there is no PBX", "name at least one, as the sample does")
	}
	first := make(map[string]int)
	pbxs := make([]PBX, 0, len(items))
	for _, item := range items {
		pbx := readPBX(item, p)
		if line, taken := first[pbx.Name]; taken && pbx.Name != "" {
			item.fault(fmt.Sprintf("the PBX of line %d has the same name", line), "rename one of them")
		}
		first[pbx.Name] = item.line
		pbxs = append(pbxs, pbx)
	}
	sameApps(v, pbxs)
	return pbxs
}

func readPBX(v value, p paths) PBX {
	o := v.object("name", "presentity", "device", "lamp", "dnd", "queue_members", "ami", "ari")
	pbx := PBX{
		Name:       readWord(o.at("name")),
		Presentity: readPresentity(o.at("presentity")),
		Device:     readDevice(o.at("device")),
		Lamp:       readCustom(o.at("lamp"), exampleLamp),
		DND:        readCustom(o.at("dnd"), exampleDND),
		Members:    readMembers(o.at("queue_members")),
	}
	overARI := o.has("ari") || o.at("ari").broken
	if overARI {
		pbx.ARI = readARI(o.at("ari"), p)
	}
	if o.has("ami") || !overARI {
		pbx.AMI = readAMI(o.at("ami"), p)
	}
	if pbx.Lamp != "" && pbx.Lamp == pbx.Device {
		o.at("lamp").fault("is the device of the phone as well", "name another one, such as "+exampleLamp)
	}
	if pbx.DND != "" && (pbx.DND == pbx.Device || pbx.DND == pbx.Lamp) {
		o.at("dnd").fault("is the device of the phone, or the lamp, as well", "name another one, such as "+exampleDND)
	}
	if !o.has("ami") && overARI {
		pbx.noDevices(o)
	}
	return pbx
}

// noDevices tells of devices that nobody sets where there is no AMI.
func (p *PBX) noDevices(o object) {
	if p.Lamp != "" {
		o.at("lamp").warn("lamps are set over AMI alone, and this PBX has none", "add a block ami, or remove lamp")
	}
	if p.DND != "" {
		o.at("dnd").warn("DND devices are followed over AMI alone, and this PBX has none", "add a block ami, or remove dnd")
	}
	if len(p.Members) > 0 {
		o.at("queue_members").warn("queues are known over AMI alone, and this PBX has none", "add a block ami, or remove queue_members")
	}
}

// readWord reads a name that Asterisk can keep.
func readWord(v value) string {
	text, ok := v.required()
	if ok && !wordPattern.MatchString(text) {
		v.fault(quote(text)+" is not a name that can be used", "write 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	return text
}

var (
	presentityText = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)
	deviceText     = regexp.MustCompile(`^[A-Za-z0-9_.@-]*$`)
)

func readPresentity(v value) string {
	text := v.text(defaultPresentity)
	name, prefixed := strings.CutPrefix(text, presentityPrefix)
	switch {
	case !prefixed:
		v.fault(quote(text)+" is not a presence that Asterisk can keep",
			"begin it with "+presentityPrefix+", the only provider that can be written")
	case keepsNumber(v, text, name, defaultPresentity):
		return text
	}
	return defaultPresentity
}

func readAMI(v value, p paths) AMI {
	o := v.object("address", "username", "secret", "secret_file", "tls", "plain_login", "insecure")
	if v.missing() && !v.broken {
		v.fault("nothing says how to reach this PBX", "write address, username and secret_file of its manager interface here, or have a block ari")
		return AMI{}
	}
	ami := AMI{
		Address:    readAddress(o.at("address")),
		Username:   readLine(o.at("username")),
		Secret:     amiSecret.read(o, p),
		PlainLogin: o.at("plain_login").boolean(false),
		TLS:        readTLS(o.at("tls"), p),
	}
	if insecure := o.at("insecure").boolean(false); !ami.TLS.Enabled && !insecure && !loopback(ami.Address) {
		o.at("address").fault("presence and the rights of the account would cross the network in clear",
			"enable tls (port 5039), or write insecure: true if that network is yours alone")
	}
	if ami.PlainLogin && !ami.TLS.Enabled {
		o.at("plain_login").warn("the secret crosses the network in clear, as TLS is off", "remove it, or enable tls")
	}
	return ami
}

func readAddress(v value) string {
	text, ok := v.required()
	if !ok {
		return ""
	}
	host, port, err := net.SplitHostPort(text)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || strings.ContainsFunc(host, unprintable) || portErr != nil || n == 0 {
		v.fault(quote(text)+" is not an address", "write host:port, for example 127.0.0.1:5038 or [::1]:5038")
	}
	return text
}

// loopback tells whether an address never leaves this machine. A name other than
// localhost might; a faulty address has its own fault.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// readLine reads text that fits a header of AMI.
func readLine(v value) string {
	text, ok := v.required()
	if ok && (strings.ContainsFunc(text, isControl) || len(text) > maxHeader) {
		v.fault("has a line break or control character, or is too long", fmt.Sprintf("write one line of at most %d bytes", maxHeader))
	}
	return text
}

func readTLS(v value, p paths) TLS {
	o := v.object("enabled", "ca_file", "server_name")
	t := TLS{
		Enabled:    o.at("enabled").boolean(false),
		ServerName: o.at("server_name").text(""),
	}
	t.CAFile = readAuthorities(o.at("ca_file"), p)
	if !t.Enabled && (t.CAFile != "" || t.ServerName != "") {
		v.warn("TLS is off, so what stands here does nothing and the connection is not encrypted", "write enabled: true, or remove the block")
	}
	return t
}

// readAuthorities reads the name of the file of authorities; "": none.
func readAuthorities(file value, p paths) string {
	name := file.text("")
	if name == "" {
		return ""
	}
	path := p.credential(name)
	checkCertificates(file, path)
	return path
}

func readLog(v value) Log {
	o := v.object("level", "format")
	return Log{
		Level:  o.at("level").oneOf("info", "debug", "info", "warn", "error"),
		Format: o.at("format").oneOf("json", "json", "console"),
	}
}
