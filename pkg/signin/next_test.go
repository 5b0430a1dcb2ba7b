package signin

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzOneStaysInThePanel reads where somebody is sent as browsers do: without tabs and
// the ends of lines, and with \ as /.
func FuzzOneStaysInThePanel(f *testing.F) {
	for _, next := range []string{"/board?q=x#y", "//evil.example", `/\evil.example`, "/%2f/evil.example", "/\t/evil.example", "/..//evil.example", "javascript:alert(1)", "/sign-out"} {
		f.Add(next)
	}
	panel := &url.URL{Scheme: "https", Host: "panel.example", Path: "/sign-in"}
	f.Fuzz(func(t *testing.T, next string) {
		at := localPath(next)
		if at != "/" && at != next {
			t.Fatalf("%q became %q", next, at)
		}
		read := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.TrimSpace(at))
		u, err := url.Parse(read)
		if err != nil {
			t.Fatalf("%q is no address: %v", at, err)
		}
		if to := panel.ResolveReference(u); to.Scheme != "https" || to.Host != "panel.example" || to.User != nil || strings.HasPrefix(read, "//") {
			t.Errorf("%q leads to %s", next, to)
		}
	})
}
