package pbxsim

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// class is a set of AMI privileges.
type class uint

// The privileges that matter here; the others are accepted and grant nothing.
const (
	classSystem class = 1 << iota
	classCall
	classReporting
	classDialplan
	classAgent
	classAll = 1<<iota - 1
)

func classOf(list string) (c class) {
	for word := range strings.SplitSeq(list, ",") {
		switch strings.TrimSpace(word) {
		case "system":
			c |= classSystem
		case "call":
			c |= classCall
		case "reporting":
			c |= classReporting
		case "dialplan":
			c |= classDialplan
		case "agent":
			c |= classAgent
		case "all", "on":
			c |= classAll
		}
	}
	return c
}

// release is in what the releases differ that the simulation was compared with.
type release struct {
	ami    string
	modern bool // CoreStatus and CoreSettings have a field more; see deactivate, followDevice and deleteStasisDevice for ARI

	noFilter bool // of ARI events
}

func releaseOf(version string) release {
	number, rest, _ := strings.Cut(version, ".")
	major, err := strconv.Atoi(number)
	switch {
	case err != nil || major >= 22:
		return release{ami: "11.0.0", modern: true}
	case major >= 20:
		return release{ami: fmt.Sprintf("%d.0.0", major-11), modern: true}
	case major == 18:
		return release{ami: "7.0.3"}
	}
	number, _, _ = strings.Cut(rest, ".")
	minor, _ := strconv.Atoi(number) // none: the first
	return release{ami: "5.0.4", noFilter: major < 13 || major == 13 && minor < 26 || major > 13 && major < 16 || major == 16 && minor < 3}
}

func (p *PBX) amiVersion() string {
	if p.cfg.AMIVersion != "" {
		return p.cfg.AMIVersion
	}
	return p.release.ami
}

// perform does what a message asks, under one hold of the lock, so that the
// response stands before the event it causes. refused: the login was not
// accepted, the answer and the end of the session are the caller's.
func (s *session) perform(a action) (refused bool) {
	p := s.pbx
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.faults.frozen && !s.dead {
		s.wake.Wait()
	}
	if s.dead || s.finish || p.life == nil {
		return false
	}
	name := a.header("Action")
	p.count(name, a)
	switch lower := strings.ToLower(name); {
	case a.tooLong:
		s.failure(a, "Failed to parse message: line too long")
	case name == "":
		s.failure(a, "Missing action in request")
	case lower == "login":
		return s.login(a)
	case lower == "challenge":
		s.challengeLogin(a)
	case lower == "logoff":
		s.respond(a, "Goodbye", "Message: Thanks for all the fish.\r\n")
		s.finish = true
	case s.user == nil:
		s.failure(a, "Permission denied")
	default:
		s.command(lower, a)
	}
	return false
}

// count keeps the statistics of what was asked.
func (p *PBX) count(name string, a action) {
	key := name
	if function, _, ok := strings.Cut(a.header("Variable"), "("); ok {
		key += " " + function
	}
	p.stats.Actions[key]++
}

func (s *session) challengeLogin(a action) {
	if !strings.EqualFold(a.header("AuthType"), "MD5") {
		s.failure(a, "Must specify AuthType")
		return
	}
	if s.challenge == "" {
		s.challenge = strconv.Itoa(100_000_000 + rand.IntN(900_000_000))
	}
	s.respond(a, "Success", "Challenge: "+s.challenge+"\r\n")
}

func (s *session) login(a action) (refused bool) {
	if s.user != nil {
		s.respond(a, "Success", "Message: Already authenticated\r\n")
		return false
	}
	p := s.pbx
	u, ok := p.user(a.header("Username"))
	if !ok || !s.proves(a, u.Secret) {
		p.stats.RefusedLogins++
		return true
	}
	p.stats.Logins++
	_ = s.conn.SetReadDeadline(time.Time{}) // a dead connection shows at the read
	s.user, s.read, s.write = &u, classOf(u.Read), classOf(u.Write)
	s.mask = s.read
	if wanted := a.header("Events"); wanted != "" {
		s.mask &= classOf(wanted)
	}
	s.respond(a, "Success", "Message: Authentication accepted\r\n")
	if p.booted && s.mask&classSystem != 0 {
		s.queue(fmt.Appendf(nil,
			"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: %d\r\nLastReload: %[1]d\r\nStatus: Fully Booted\r\n\r\n", p.uptime()))
	}
	return false
}

// proves checks a secret, or the answer to our challenge (manager.c:2291).
func (s *session) proves(a action, secret string) bool {
	if strings.EqualFold(a.header("AuthType"), "MD5") {
		sum := md5.Sum([]byte(s.challenge + secret))
		return s.challenge != "" && a.header("Key") == hex.EncodeToString(sum[:])
	}
	return secret != "" && a.header("Secret") == secret
}

// command performs what needs a login.
func (s *session) command(name string, a action) {
	need, do := s.lookup(name)
	switch {
	case do == nil:
		s.failure(a, "Invalid/unknown command: "+a.header("Action")+". Use Action: ListCommands to show available commands.")
	case need != 0 && s.write&need == 0:
		s.failure(a, "Permission denied")
	default:
		do(a)
	}
}

// lookup finds a command and the rights of which it takes any one; nil: there is none.
func (s *session) lookup(name string) (need class, do func(action)) {
	switch name {
	case "ping":
		return 0, s.ping
	case "events":
		return 0, s.events
	case "setvar":
		return classCall, s.setvar
	case "getvar":
		return classCall | classReporting, s.getvar
	case "presencestate":
		return classCall | classReporting, s.presenceState
	case "presencestatelist":
		if s.pbx.manager {
			return classCall | classReporting, s.presenceStateList
		}
	case "devicestatelist":
		if s.pbx.deviceManager {
			return classCall | classReporting, s.deviceStateList
		}
	case "queuestatus":
		return 0, s.queueStatus
	case "queuepause":
		return classAgent, s.queuePause
	case "queueadd":
		return classAgent, s.queueAdd
	case "queueremove":
		return classAgent, s.queueRemove
	case "dbget":
		return classSystem | classReporting, s.dbGet
	case "corestatus":
		return classSystem | classReporting, s.coreStatus
	case "coresettings":
		return classSystem | classReporting, s.coreSettings
	}
	return 0, nil
}

func (s *session) ping(a action) {
	now := time.Now()
	s.respond(a, "Success", fmt.Sprintf("Ping: Pong\r\nTimestamp: %d.%06d\r\n", now.Unix(), now.Nanosecond()/1000))
}

func (s *session) events(a action) {
	s.mask = s.read & classOf(a.header("EventMask"))
	state := "On"
	if s.mask == 0 {
		state = "Off"
	}
	s.respond(a, "Success", "Events: "+state+"\r\n")
}

func (s *session) setvar(a action) {
	p := s.pbx
	variable, value := a.header("Variable"), a.header("Value")
	if variable == "" {
		s.failure(a, "No variable specified")
		return
	}
	call, isCall := strings.CutSuffix(variable, ")")
	if !isCall {
		p.setGlobal(variable, value)
		s.respond(a, "Success", "Message: Variable Set\r\n")
		return
	}
	function, what, _ := strings.Cut(call, "(")
	if function != presenceFunction && function != deviceFunction { // no other is loaded
		s.failure(a, "Variable not set")
		return
	}
	p.stats.Writes[what]++
	if p.faults.refuse != nil && p.faults.refuse(what, value) {
		s.failure(a, "Variable not set")
		return
	}
	publish, err := p.evaluate(function, what, value)
	if err != nil {
		s.failure(a, "Variable not set")
		return
	}
	s.respond(a, "Success", "Message: Variable Set\r\n")
	publish()
}

// The functions of the dialplan that this one has.
const (
	presenceFunction = "PRESENCE_STATE"
	deviceFunction   = "DEVICE_STATE"
)

// evaluate writes to a function. What it returns sends the events, which come
// after the answer.
func (p *PBX) evaluate(function, what, value string) (publish func(), err error) {
	if function == deviceFunction {
		events, err := p.writeDevice(what, value)
		return func() { p.publishDevices(events) }, err
	}
	events, err := p.write(what, value)
	return func() { p.publish(events) }, err
}

// getvar succeeds with an empty value whatever is wrong (manager.c:3629).
func (s *session) getvar(a action) {
	variable := a.header("Variable")
	if variable == "" {
		s.failure(a, "No variable specified")
		return
	}
	value := s.pbx.function(variable)
	s.respond(a, "Success", "Variable: "+variable+"\r\nValue: "+value+"\r\n")
}

// function reads a variable or a function of the dialplan; "" is what is wrong, too.
func (p *PBX) function(call string) string {
	name, args, isCall := strings.Cut(call, "(")
	args = strings.TrimSuffix(args, ")")
	switch {
	case !isCall:
		return p.globals[name]
	case name == presenceFunction:
		return cut(p.field(args), maxGetvar)
	case name == deviceFunction && p.devstate:
		return p.readDevice(args)
	}
	return ""
}

// field reads PRESENCE_STATE(presentity,field[,e]) (func_presencestate.c:105).
func (p *PBX) field(args string) string {
	f := append(strings.Split(args, ","), "", "")
	c, ok := p.read(f[0])
	if !ok {
		return ""
	}
	var text string
	switch strings.ToLower(f[1]) {
	case "value":
		return c.State
	case "subtype":
		text = c.Subtype
	case "message":
		text = c.Message
	}
	if strings.Contains(f[2], "e") {
		text = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return text
}

// presenceState answers from the cache first, texts as they are; the message
// comes three times under two names (manager.c:5538).
func (s *session) presenceState(a action) {
	provider := a.header("Provider")
	if provider == "" {
		s.failure(a, "No provider specified")
		return
	}
	c, ok := s.pbx.read(provider)
	if cached := s.pbx.cache.known[provider]; cached != nil {
		c, ok = *cached, cached.State != ""
	}
	if !ok {
		s.failure(a, "Invalid provider "+provider+" or provider in invalid state")
		return
	}
	body := "Message: Presence State\r\nState: " + c.State + "\r\n"
	if c.Subtype != "" {
		body += "Subtype: " + c.Subtype + "\r\n"
	}
	if c.Message != "" {
		body += "Message: " + c.Message + "\r\nPresenceMessage: " + c.Message + "\r\n"
	}
	s.respond(a, "Success", body)
}

// listItem is about how many bytes an item of a list has: room is made for all of them at
// once, since growing to the list of millions would take longer than clients wait.
const listItem = 192

func (s *session) presenceStateList(a action) {
	s.respond(a, "Success", "EventList: start\r\nMessage: Presence State Changes will follow\r\n")
	id := idLine(a)
	s.out = slices.Grow(s.out, listItem*len(s.pbx.cache.known))
	for c := range s.pbx.cache.all() {
		s.out = appendChange(append(append(s.out, "Event: PresenceStateChange\r\n"...), id...), c)
	}
	s.queue(fmt.Appendf(nil, "Event: PresenceStateListComplete\r\n%sEventList: Complete\r\nListItems: %d\r\n\r\n",
		id, len(s.pbx.cache.known)))
}

func (s *session) coreStatus(a action) {
	date, clock := s.pbx.started.Format(time.DateOnly), s.pbx.started.Format(time.TimeOnly)
	body := "CoreStartupDate: " + date + "\r\nCoreStartupTime: " + clock +
		"\r\nCoreReloadDate: " + date + "\r\nCoreReloadTime: " + clock + "\r\nCoreCurrentCalls: 0\r\n"
	if s.pbx.release.modern {
		body += "CoreProcessedCalls: 0\r\n"
	}
	s.respond(a, "Success", body)
}

func (s *session) coreSettings(a action) {
	body := "AMIversion: " + s.pbx.amiVersion() + "\r\nAsteriskVersion: " + s.pbx.cfg.Version + "\r\n" +
		"SystemName: \r\nCoreMaxCalls: 0\r\nCoreMaxLoadAvg: 0.000000\r\nCoreRunUser: \r\nCoreRunGroup: \r\n" +
		"CoreMaxFilehandles: 0\r\nCoreRealTimeEnabled: No\r\nCoreCDRenabled: Yes\r\nCoreHTTPenabled: No\r\n" // of AMI over HTTP; ARI does not count
	if s.pbx.release.modern {
		body += "SoundsSearchCustomDir: No\r\n"
	}
	s.respond(a, "Success", body)
}

// respond queues a response; body is whole lines.
func (s *session) respond(a action, result, body string) {
	s.queue([]byte("Response: " + result + "\r\n" + idLine(a) + body + "\r\n"))
}

func (s *session) failure(a action, message string) {
	s.respond(a, "Error", "Message: "+message+"\r\n")
}

func idLine(a action) string {
	if id := a.header("ActionID"); id != "" {
		return "ActionID: " + id + "\r\n"
	}
	return ""
}
