package pbxsim_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// TestEveryAsteriskSpeaksARIAsItsTranscript is the conversation over ARI, as
// TestEveryAsteriskSpeaksAsItsTranscript is that over AMI.
func TestEveryAsteriskSpeaksARIAsItsTranscript(t *testing.T) {
	o := quick
	o.ARI = true
	transcribe(t, o, "-ari", converseARI)
}

func converseARI(t *testing.T, p pbxtest.PBX) []byte {
	t.Helper()
	var log bytes.Buffer
	fmt.Fprint(&log, "# A conversation over ARI, written by go test -update ./pkg/pbxsim; what differs each time stands in (brackets).\n\n")
	w := browse(t, p.ARI(), p.User("phone"))
	w.log = &log
	doors(w, p)
	variables(w)
	old := strings.HasPrefix(p.Version(), "16.")
	deviceStates(w, old)
	applications(w)
	replacements(w)
	returns(w)
	userEvents(w)
	dialplanEvents(w, p, old)
	parked(w)
	missingValue(w, p)
	return log.Bytes()
}

// doors are who is let in, and where to.
func doors(w *web, p pbxtest.PBX) {
	w.remark("who is let in")
	w.as(pbxsim.User{}).get("/ari/asterisk/info")
	w.as(pbxsim.User{Name: "phone", Secret: "wrong"}).get("/ari/asterisk/info")
	w.as(pbxsim.User{Name: "nobody", Secret: "x"}).get("/ari/asterisk/info")
	w.as(pbxsim.User{}).get("/ari/asterisk/info?only=status&api_key=phone:phone-secret")
	w.as(pbxsim.User{}).get("/ari/asterisk/info?only=status&api_key=phone:wrong")
	reader := w.as(p.User("reader"))
	reader.get("/ari/asterisk/info?only=status")
	reader.post("/ari/asterisk/variable?variable=PRESENCE_STATE(CustomPresence:1)&value=away")
	reader.put("/ari/deviceStates/Stasis:1?deviceState=BUSY")
	w.remark("about Asterisk")
	w.get("/ari/asterisk/info")
	w.get("/ari/asterisk/info?only=system,config")
	w.get("/ari/asterisk/info?only=bogus")
	w.get("/ari/asterisk/ping")
	w.get("/ari/endpoints")
	w.remark("where nothing is")
	for _, path := range []string{"/ari/none", "/ari", "/ari/", "/none", "/", "/ari/asterisk", "/ari/devicestates", "/ari/endpoints/", "/ari/channels/none"} {
		w.get(path)
	}
	w.put("/ari/asterisk/info")
	w.del("/ari/asterisk/info")
	w.ask("OPTIONS", "/ari/asterisk/info", "", "")
	w.remark("lines that are long")
	for _, n := range []int{4094, 4095, 4096, 4097, 6000} {
		path := "/ari/asterisk/info?only=x&x="
		w.get(path + strings.Repeat("y", n-len("GET "+path+" HTTP/1.1\r\n")))
	}
	w.ask("GET", "/ari/asterisk/info?only=x", "", "", "X: "+strings.Repeat("y", 5000))
	w.remark("websockets that are none")
	w.get("/ari/events")
	w.get("/ari/events?app=a")
}

// variables are writes to and reads of global ones.
func variables(w *web) {
	w.remark("variables: success says nothing")
	const at = "/ari/asterisk/variable"
	w.post(at + "?variable=PRESENCE_STATE(CustomPresence:1)&value=away,bHVuY2g=,QmFjayBhdCAy,e")
	w.post(at + "?variable=PRESENCE_STATE(CustomPresence:1)&value=bogus")
	w.post(at + "?variable=NO_FUNCTION(1)&value=x")
	w.post(at + "?variable=NO_FUNCTION(1)")
	w.post(at + "?variable=PB_TEST&value=query")
	w.get(at + "?variable=PB_TEST")
	w.post(at + "?value=x")
	w.ask("POST", at, jsonBody, `{"variable":"PB_TEST","value":"json"}`)
	w.get(at + "?variable=PB_TEST")
	w.ask("POST", at+"?variable=PB_TEST&value=query", jsonBody, `{"value":"json wins"}`)
	w.get(at + "?variable=PB_TEST")
	w.ask("POST", at, jsonBody, `{"bad`)
	w.ask("POST", at, jsonBody, `{"variable":1,"value":"y"}`)
	w.ask("POST", at+"?variable=PB_TEST", "application/x-www-form-urlencoded", "value=from+a%20form")
	w.get(at + "?variable=PB_TEST")
	w.ask("POST", at+"?variable=PB_TEST&value=query+wins", "application/x-www-form-urlencoded", "value=form")
	w.get(at + "?variable=PB_TEST")
	w.post(at + "?variable=PB_TEST&value=")
	w.get(at + "?variable=PB_TEST")
	w.get(at)
	w.remark("functions are not read here")
	w.get(at + "?variable=PRESENCE_STATE(CustomPresence:1,value)")
	w.get(at + "?variable=NONE")
}

// deviceStates are the devices; only those of Stasis are listed or written.
func deviceStates(w *web, old bool) {
	w.remark("devices: only Stasis: ones are listed")
	e := w.listen("app=dev&subscribeAll=true")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:1)&value=INUSE")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:1)&value=INUSE")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:1)&value=bogus")
	e.fence(true)
	w.get("/ari/deviceStates/Custom:1")
	w.get("/ari/deviceStates/custom:1")
	w.get("/ari/deviceStates/Custom:never")
	w.get("/ari/deviceStates/Foo:1")
	w.get("/ari/deviceStates/PJSIP%2Fnone")
	w.get("/ari/deviceStates/PJSIP/none")
	w.get("/ari/deviceStates/Stasis:never")
	w.get("/ari/deviceStates/Custom:%ff")
	w.put("/ari/deviceStates/Stasis:1?deviceState=BUSY")
	w.put("/ari/deviceStates/Stasis:1?deviceState=busy")
	w.put("/ari/deviceStates/Stasis:1?deviceState=bogus")
	w.put("/ari/deviceStates/Stasis:1?deviceState=UNKNOWN")
	w.put("/ari/deviceStates/Stasis:1")
	w.ask("PUT", "/ari/deviceStates/stasis:2", jsonBody, `{"deviceState":"INUSE"}`)
	w.put("/ari/deviceStates/Stasis:?deviceState=BUSY")
	w.put("/ari/deviceStates/Custom:1?deviceState=BUSY")
	e.fence(true)
	w.get("/ari/deviceStates")
	w.remark("16.28 tells of a device that is deleted, after the answer")
	for range 2 {
		w.del("/ari/deviceStates/Stasis:1")
		if old {
			e.hear("DeviceStateChanged")
		}
	}
	w.del("/ari/deviceStates/Custom:1")
	e.fence(true)
	w.get("/ari/deviceStates/Stasis:1")
	w.put("/ari/deviceStates/Stasis:1?deviceState=BUSY")
	w.remark("a name is escaped here, as JSON")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:a%0d%0ab%22%5c%c3%a9%3c%2f)&value=INUSE")
	e.fence(true) // variables take another way than devices, and may overtake them
	w.remark("a global variable is told to who follows everything")
	w.post("/ari/asterisk/variable?variable=PB_TEST&value=1")
	e.hear("ChannelVarset")
	e.fence(true)
	e.hangUp()
}

// applications follow devices and filter what they are told.
func applications(w *web) {
	w.remark("applications")
	e := w.listen("app=one")
	e.fence(false)
	const one = "/ari/applications/one"
	w.get(one)
	w.get("/ari/applications/none")
	change := func(state string) { w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:2)&value=" + state) }
	w.remark("a device")
	w.post(one + "/subscription?eventSource=deviceState:Custom:2")
	change("INUSE")
	e.hear("DeviceStateChanged")
	w.remark("all devices as well: it is told twice")
	w.post(one + "/subscription?eventSource=deviceState:")
	change("BUSY")
	e.hear("DeviceStateChanged")
	e.hear("DeviceStateChanged")
	for _, source := range []string{"bogus:1", "bogus", "channel:none", "endpoint:PJSIP/none", "bridge:none"} {
		w.post(one + "/subscription?eventSource=" + source)
	}
	w.post(one + "/subscription")
	w.post("/ari/applications/none/subscription?eventSource=deviceState:Custom:2")
	w.del(one + "/subscription?eventSource=deviceState:Custom:2")
	w.del(one + "/subscription?eventSource=bogus:1")
	w.del(one + "/subscription")
	w.ask("PUT", one+"/subscription", "", "")
	w.del(one)
	w.remark("a filter")
	filter := func(body string) { w.ask("PUT", one+"/eventFilter", jsonBody, body) }
	filter(`{"allowed":[{"type":"ChannelUserevent"}]}`)
	change("INUSE")
	e.fence(false)
	filter(`{"disallowed":[{"type":"DeviceStateChanged"}]}`)
	filter(`{"allowed":[]}`)
	change("BUSY")
	e.fence(false)
	filter(`{"allowed":"x"}`)
	filter(`{"allowed":[{}]}`)
	filter(`{"other":1}`)
	filter(`{}`)
	w.ask("PUT", "/ari/applications/none/eventFilter", jsonBody, `{}`)
	w.remark("no device any more, says the answer")
	w.del(one + "/subscription?eventSource=deviceState:")
	e.hangUp()
}

// replacements are a second websocket for an application.
func replacements(w *web) {
	w.remark("the newer websocket wins, the older stays open and hears nothing")
	older := w.listen("app=two")
	older.fence(false)
	newer := w.listen("app=two&subscribeAll=true")
	older.hear("ApplicationReplaced")
	w.remark("what it follows did not change")
	w.get("/ari/applications/two")
	w.post("/ari/events/user/Hello?application=two")
	newer.hear("ChannelUserevent")
	w.remark("the older one goes, the application stays")
	older.hangUp()
	newer.fence(false)
	w.get("/ari/applications/two")
	newer.hangUp()
}

// returns are what is left when an application comes back.
func returns(w *web) {
	w.remark("an application comes back: the devices that it named are followed again")
	e := w.listen("app=three")
	w.post("/ari/applications/three/subscription?eventSource=deviceState:Custom:3")
	w.ask("PUT", "/ari/applications/three/eventFilter", jsonBody, `{"disallowed":[{"type":"ChannelVarset"}]}`)
	e.hangUp()
	e.gone()
	w.post("/ari/events/user/Hello?application=three")
	e = w.listen("app=three")
	w.get("/ari/applications/three")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:3)&value=BUSY")
	e.hear("DeviceStateChanged")
	e.hangUp()
	w.remark("and all of them, by subscription")
	e = w.listen("app=four")
	w.post("/ari/applications/four/subscription?eventSource=deviceState:")
	e.hangUp()
	e.gone()
	e = w.listen("app=four")
	w.get("/ari/applications/four")
	e.hangUp()
}

// gone waits until the application is.
func (e *ear) gone() {
	e.t.Helper()
	quiet := e.as(e.user)
	quiet.log = nil
	pbxtest.Eventually(e.t, patience, e.name+" is gone", func() bool {
		return strings.HasPrefix(quiet.get("/ari/applications/"+e.name), "404")
	})
}

// userEvents are events that programs make up.
func userEvents(w *web) {
	w.remark("events of programs")
	e := w.listen("app=five")
	for _, body := range []string{"", `{"variables":{"z":"1","b":"x,y","n":5,"eventname":"other","nest":{"a":[1,null,true]}}}`, `{"variables":{}}`} {
		kind := ""
		if body != "" {
			kind = jsonBody
		}
		w.ask("POST", "/ari/events/user/Hello?application=five", kind, body)
		e.hear("ChannelUserevent")
	}
	w.post("/ari/events/user/a%20b%2fc?application=five")
	e.hear("ChannelUserevent")
	w.ask("POST", "/ari/events/user/Hello?application=five", jsonBody, `{"variables":"x"}`)
	w.post("/ari/events/user/Hello")
	w.post("/ari/events/user/Hello?application=none")
	w.post("/ari/events/user/Hello?application=five&source=deviceState:Custom:1")
	w.post("/ari/events/user/Hello?application=five&source=channel:none")
	w.post("/ari/events/user/?application=five")
	w.del("/ari/events/user/Hello")
	e.fence(false)
	e.hangUp()
}

// dialplanEvents are user events of ordinary channels.
func dialplanEvents(w *web, p pbxtest.PBX, old bool) {
	w.remark("events of dialplans reach who follows all channels")
	all := w.listen("app=channels&subscribeAll=true")
	e := w.listen("app=dialplan")
	for _, app := range []string{"channels", "dialplan"} {
		w.ask("PUT", "/ari/applications/"+app+"/eventFilter", jsonBody, `{"allowed":[{"type":"ChannelUserevent"}]}`)
	}
	p.UserEvent("Hello,nobody: follows")
	e.fence(false)
	all.hear("ChannelUserevent")
	const subscription = "/ari/applications/dialplan/subscription?eventSource=channel:"
	w.post(subscription)
	w.post(subscription)
	for _, arguments := range []string{
		"PresenceStateChange,Presentity: CustomPresence:1,Status: away",
		"Hello,a:1,  b  :  2  ,a:3,no colon,:nameless,eventname: other", "Hello",
	} {
		p.UserEvent(arguments)
		e.hear("ChannelUserevent")
		all.hear("ChannelUserevent")
	}
	w.remark("16.28 follows them beyond the websocket")
	e.hangUp()
	if !old {
		e.gone()
	}
	e = w.listen("app=dialplan")
	w.get("/ari/applications/dialplan")
	e.hangUp()
	all.hangUp()
}

// parked is a channel that reads presence.
func parked(w *web) {
	w.remark("a channel in no application")
	w.post("/ari/channels/create?endpoint=Local/s@default&app=none&channelId=c0")
	w.post("/ari/channels/create?endpoint=Local/s@default")
	w.post("/ari/channels/create?app=six")
	w.post("/ari/channels/create?endpoint=x&app=six")
	w.post("/ari/channels/create?endpoint=Bogus/1&app=six")
	w.remark("a channel in an application")
	e := w.listen("app=six")
	w.post("/ari/channels/create?endpoint=Local/s@default&app=six&channelId=c1")
	e.hear("StasisStart")
	w.get("/ari/channels/c1")
	w.get("/ari/applications/six")
	w.post("/ari/channels/create?endpoint=Local/s@default&app=six&channelId=c1")
	readPresence(w)
	w.remark("it stays without its websocket, and so does the application")
	e.hangUp()
	w.get("/ari/channels/c1/variable?variable=PRESENCE_STATE(CustomPresence:1,value)")
	w.get("/ari/applications/six")
	e = w.listen("app=six")
	e.fence(false)
	w.del("/ari/channels/c1")
	e.hear("ChannelDestroyed")
	w.del("/ari/channels/c1")
	w.get("/ari/channels/c1/variable?variable=PRESENCE_STATE(CustomPresence:1,value)")
	w.get("/ari/channels/c1/variable")
	e.hangUp()
}

func readPresence(w *web) {
	read := func(expression string) {
		w.get("/ari/channels/c1/variable?variable=" + url.QueryEscape(expression))
	}
	w.remark("reads")
	for _, expression := range []string{
		"PRESENCE_STATE(CustomPresence:1,value)", "PRESENCE_STATE(CustomPresence:1,subtype)", "PRESENCE_STATE(CustomPresence:1,message,e)",
		"PRESENCE_STATE(CustomPresence:1)", "PRESENCE_STATE(CustomPresence:1,bogus)", "PRESENCE_STATE(Foo:1,value)",
		"PRESENCE_STATE(CustomPresence:never,value)", "PRESENCE_STATE(CustomPresence:never,message,e)",
		"DEVICE_STATE(Custom:1)", "DEVICE_STATE(Custom:never)", "NO_FUNCTION(1)", "NONE", "PB_TEST", "EXTEN",
		"EVAL(abc)", "EVAL()", "EVAL(${NONE}|${NO_FUNCTION(1)}|${PB_TEST}|${EXTEN}|${PRESENCE_STATE(Foo:1,value)})",
		"EVAL(${DEVICE_STATE(Custom:1)};${DEVICE_STATE(Custom:never)})",
	} {
		read(expression)
	}
	w.remark("a batch")
	read("EVAL(" + batch(1) + ";" + batch(2) + ")")
	w.remark("texts arrive whole")
	w.ask("POST", "/ari/asterisk/variable", jsonBody, `{"variable":"PRESENCE_STATE(CustomPresence:7)","value":"away,,`+strings.Repeat("p", 990)+`"}`)
	read("PRESENCE_STATE(CustomPresence:7,message,e)")
	w.remark("as many as a line holds")
	for _, n := range []int{20, 30} {
		var all []string
		for i := range n {
			all = append(all, batch(1000+i))
		}
		read("EVAL(" + strings.Join(all, ";") + ")")
	}
}

func batch(n int) string {
	return fmt.Sprintf("${PRESENCE_STATE(CustomPresence:%d,value)}|${PRESENCE_STATE(CustomPresence:%[1]d,subtype,e)}|${PRESENCE_STATE(CustomPresence:%[1]d,message,e)}", n)
}

// missingValue ends Asterisk, so it comes last.
func missingValue(w *web, p pbxtest.PBX) {
	w.remark("a function without a value ends Asterisk")
	w.post("/ari/asterisk/variable?variable=PRESENCE_STATE(CustomPresence:1)")
	p.Kill()
	p.Start()
	w.get("/ari/applications")
	w.get("/ari/channels")
	w.post("/ari/asterisk/variable?variable=DEVICE_STATE(Custom:1)")
	p.Kill()
}
