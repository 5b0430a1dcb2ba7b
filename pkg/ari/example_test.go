package ari_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/coder/websocket"

	"github.com/presencebridge/presencebridge/pkg/ari"
)

// Follow the phones of a PBX.
func Example() {
	pbx := httptest.NewServer(http.HandlerFunc(fakePBX)) // leave out for a real one
	defer pbx.Close()

	seen := make(chan string, 1)
	conn, err := ari.Open(context.Background(), ari.Config{
		URL:      pbx.URL + "/ari",
		Username: "presencebridge",
		Password: ari.NewSecret("secret"),
		App:      "presencebridge",
	}, ari.Handler{Event: func(e ari.Event) {
		if d, ok := e.(*ari.DeviceStateChanged); ok {
			seen <- d.DeviceState.Name + " is " + d.DeviceState.State
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()

	// First subscribe, then read what is so already.
	if err := conn.Subscribe(context.Background(), ari.AllDevices); err != nil {
		fmt.Println(err)
		return
	}
	now, err := conn.DeviceState(context.Background(), "PJSIP/1001")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(now.Name, "was", now.State)
	fmt.Println(<-seen)
	// Output:
	// PJSIP/1001 was NOT_INUSE
	// PJSIP/1001 is INUSE
}

// fakePBX has one phone, which is picked up.
func fakePBX(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ari/events":
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.CloseNow() }()
		ctx := ws.CloseRead(r.Context())
		_ = ws.Write(ctx, websocket.MessageText, []byte(`{"type":"DeviceStateChanged","application":"presencebridge",`+
			`"timestamp":"2026-11-25T19:07:05.878+0000","device_state":{"name":"PJSIP/1001","state":"INUSE"}}`))
		<-ctx.Done()
	case strings.HasPrefix(r.URL.Path, "/ari/deviceStates/"):
		_, _ = fmt.Fprint(w, `{"name":"PJSIP/1001","state":"NOT_INUSE"}`)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
