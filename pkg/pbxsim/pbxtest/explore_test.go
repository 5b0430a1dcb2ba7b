package pbxtest

import ("testing";"os";"bufio";"fmt";"net";"time";"strings")

func TestExplore(t *testing.T) {
	for _, f := range Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			p := f.Start(t, Options{ARI: true}).(*Real)
			conn, err := net.Dial("tcp", p.Addr()); if err != nil { t.Fatal(err) }
			defer conn.Close()
			r := bufio.NewReader(conn)
			fmt.Fprintf(conn, "Action: Login\r\nUsername: bridge\r\nSecret: bridge-secret\r\n\r\n")
			dump := func(what string) {
				conn.SetReadDeadline(time.Now().Add(time.Second))
				var b strings.Builder
				for { l, err := r.ReadString('\n'); b.WriteString(l); if err != nil { break } }
				t.Logf("=== %s\n%s", what, b.String())
			}
			dump("login")
			for _, evil := range strings.Split(os.Getenv("EVIL"), "@@") {
				evil = strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(evil)
				if err := p.WriteOverARI(t.Context(), evil, "away"); err != nil { t.Error(err) }
				dump("live "+fmt.Sprintf("%q", evil))
			}
			fmt.Fprintf(conn, "Action: PresenceStateList\r\nActionID: 77\r\n\r\n")
			dump("list")
			for _, c := range []string{"presencestate list", "database show CustomPresence"} {
				out, err := p.cli(c); t.Logf("%s: %s %v", c, out, err)
			}
			p.Restart()
			conn, err = net.Dial("tcp", p.Addr()); if err != nil { t.Fatal(err) }
			r = bufio.NewReader(conn)
			fmt.Fprintf(conn, "Action: Login\r\nUsername: bridge\r\nSecret: bridge-secret\r\n\r\n")
			dump("login")
			fmt.Fprintf(conn, "Action: PresenceStateList\r\nActionID: 77\r\n\r\n")
			dump("list after restart")
		})
	}
}
