package ami_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// Log in, set a presence, and see it come back as an event.
func Example() {
	echoed := make(chan string, 1)
	handler := ami.Handler{Event: func(e ami.Event) {
		if e.Is("PresenceStateChange") {
			echoed <- e.Get("Presentity") + " shows " + e.Get("Status") + ": " + ami.Unescape(e.Get("Message"))
		}
	}}
	conn, err := ami.Open(context.Background(), ami.Config{
		Address:  "127.0.0.1:5038",
		Username: "presencebridge",
		Secret:   ami.NewSecret("secret"),
		Dial:     fakePBX, // leave out for a real one
	}, handler)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()

	lunch, err := ami.SetPresence("CustomPresence:1001", "away", "lunch", "It's noon, back at 2")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := conn.Do(context.Background(), lunch); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-echoed)
	// Output: CustomPresence:1001 shows away: It's noon, back at 2
}

// fakePBX answers every action with success and each Setvar with an event.
func fakePBX(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer func() { _ = server.Close() }()
		_, _ = fmt.Fprint(server, "Asterisk Call Manager/11.0.0\r\n")
		in := bufio.NewScanner(server)
		var action, id string
		for in.Scan() {
			switch name, value, _ := strings.Cut(in.Text(), ": "); name {
			case "Action":
				action = value
			case "ActionID":
				id = value
			case "":
				_, _ = fmt.Fprintf(server, "Response: Success\r\nActionID: %s\r\nChallenge: 1\r\n\r\n", id)
				if action == "Setvar" {
					_, _ = fmt.Fprint(server, "Event: PresenceStateChange\r\nPrivilege: call,all\r\n"+
						"Presentity: CustomPresence:1001\r\nStatus: away\r\nSubtype: lunch\r\nMessage: It\\'s noon, back at 2\r\n\r\n")
				}
			}
		}
	}()
	return client, nil
}
