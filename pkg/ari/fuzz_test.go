package ari

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"
)

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		device("PJSIP/1001", "INUSE"), replaced, "", "null", "{}", `{"type":"Unheard"}`, `{"type":null}`, `{"type":"DeviceStateChanged","device_state":null}`,
		`{"type":"ChannelUserevent","timestamp":"2026-11-25T19:07:07.282+0000","eventname":"PresenceStateChange","userevent":{"a":"b, c","eventname":"x"},"application":"pb"}`,
		`{"type":"EndpointStateChange","endpoint":{"technology":"PJSIP","resource":"1001","state":"offline","channel_ids":[]}}`,
		`{"type":"ContactStatusChange","contact_info":{"uri":"sip:1@192.0.2.1","contact_status":"Reachable","aor":"1001","roundtrip_usec":"80"}}`,
		`{"type":"PeerStatusChange","peer":{"peer_status":"Registered","port":"5060"},"endpoint":{}}`,
		`{"type":"StasisStart","args":["a"],"channel":{"id":"1.2","creationtime":"2026-11-25T19:07:31.616+0000","dialplan":{"priority":1}}}`,
		`{"type":"ChannelVarset","variable":"A","value":"B","channel":{"id":1}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decode(text)
		if (e == nil) == (err == nil) {
			t.Fatalf("%v and %v", e, err)
		}
		if err != nil {
			if !slices.Contains([]error{errUnknown, errJSON, errFields}, err) {
				t.Fatalf("an error that may hold what came: %v", err)
			}
			return
		}
		if e.GetType() == "" {
			t.Fatal("an event without a type")
		}
		_ = e.GetApplication()
		_ = e.Keys() // as whoever puts it on a bus of ari/v5 would
	})
}

func FuzzParsePresences(f *testing.F) {
	names := []string{"CustomPresence:1", "CustomPresence:2"}
	for _, s := range []string{"away|bHVuY2g=|;not_set||;", "away||;", ";;", "", "away|x|y;dnd|||;", "dnd|\n|;dnd||;", "||;away||;", "|x|;away||;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text, names)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || got != nil {
				t.Fatalf("%v, %v", got, err)
			}
			return
		}
		again := ""
		for i, p := range got {
			unreadable := p == Presence{Presentity: names[i]}
			if p.Presentity != names[i] || !slices.Contains(states, p.State) && !unreadable {
				t.Fatalf("%+v", p)
			}
			b64 := base64.StdEncoding.EncodeToString
			again += p.State + "|" + b64([]byte(p.Subtype)) + "|" + b64([]byte(p.Message)) + ";"
		}
		if back, err := parse(again, names); err != nil || !slices.Equal(back, got) {
			t.Fatalf("%+v became %+v, %v", got, back, err)
		}
	})
}
