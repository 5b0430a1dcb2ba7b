package diagnose

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/ami"
)

// version is what is known of a release. The zero value knows nothing.
type version struct {
	text  string // as Asterisk says it
	known bool   // number is
	number
	old bool // AMI is older than 2.8.0, which came with 13.5 (include/asterisk/manager.h:57)
}

type number struct{ major, minor, patch int }

func (n number) String() string { return fmt.Sprintf("%d.%d.%d", n.major, n.minor, n.patch) }

func (n number) before(o number) bool {
	switch {
	case n.major != o.major:
		return n.major < o.major
	case n.minor != o.minor:
		return n.minor < o.minor
	}
	return n.patch < o.patch
}

// protocol takes the version of AMI that the greeting tells.
func (v *version) protocol(text string) {
	var major, minor int
	if n, _ := fmt.Sscanf(text, "%d.%d", &major, &minor); n == 2 {
		v.old = major < 2 || major == 2 && minor < 8
	}
}

// release takes the version of Asterisk. A certified or self-made one has a number
// that cannot be compared.
func (v *version) release(text string) {
	v.text = text
	found := regexp.MustCompile(`^(\d{1,3})\.(\d{1,3})\.(\d{1,3})`).FindStringSubmatch(text)
	if found == nil || strings.Contains(text, "cert") {
		return
	}
	v.major, _ = strconv.Atoi(found[1]) // digits, as the pattern says
	v.minor, _ = strconv.Atoi(found[2])
	v.patch, _ = strconv.Atoi(found[3])
	v.known = true
}

// filters are the lines that let through what the bridge reads, and no more. The
// form by name is much cheaper for Asterisk, but an older release ignores it in
// silence and sends everything; the regular expression is right for all.
func (v *version) filters(queues bool) []string {
	events := []string{"PresenceStateChange", "DeviceStateChange", "FullyBooted", "Shutdown", "Load"}
	if queues {
		events = append(events, "QueueMemberPause", "QueueMemberAdded", "QueueMemberRemoved")
	}
	first := map[int]int{18: 26, 20: 11, 21: 6, 22: 1}
	minor, branch := first[v.major]
	if !v.known || v.major < 23 && (!branch || v.minor < minor) {
		return []string{"eventfilter = Event: (" + strings.Join(events, "|") + ")"}
	}
	lines := make([]string, len(events))
	for i, e := range events {
		lines[i] = "eventfilter(action(include),name(" + e + ")) ="
	}
	return lines
}

// advisory is a flaw of Asterisk that concerns who runs a bridge, though not by
// what the bridge does.
type advisory struct {
	ids    string
	what   string
	mended []number // the first release of each branch without it
	since  []number // the first release of each branch with it; nil: all older ones have it
}

func advisories() []advisory {
	return []advisory{
		{
			ids: "GHSA-wcvv-g26m-wx5c, GHSA-vrfp-mg3q-3959, GHSA-3rhj-hhw7-m6fw, GHSA-4pgv-j3mr-3rcp", what: "flaws of ARI and of the web server",
			mended: []number{{22, 10, 1}},
		},
		{
			ids: "CVE-2024-35190", what: "SIP requests that nobody vouches for are taken for somebody's",
			since:  []number{{18, 23, 0}, {20, 8, 0}, {21, 3, 0}},
			mended: []number{{18, 23, 1}, {20, 8, 1}, {21, 3, 1}},
		},
		{
			ids: "CVE-2022-26651, CVE-2022-26498, CVE-2022-26499", what: "flaws of func_odbc and STIR/SHAKEN",
			mended: []number{{16, 25, 2}, {18, 11, 2}, {19, 3, 2}},
		},
	}
}

// applies tells whether a release is within what an advisory names; others of its
// branch, and other branches, are not known to be.
func (a advisory) applies(n number) bool {
	for i, mended := range a.mended {
		if n.major == mended.major {
			return n.before(mended) && (a.since == nil || !n.before(a.since[i]))
		}
	}
	return false
}

// release asks for the version and says what is known of it.
func (x *examination) release(ctx context.Context) Step {
	if settings, err := x.conn.Do(ctx, ami.CoreSettings()); err == nil {
		x.version.release(settings.Get("AsteriskVersion"))
	}
	v := &x.version
	name := "Asterisk " + v.text
	if v.text == "" {
		name = "this Asterisk"
	}
	if v.old || v.known && v.before(number{13, 5, 0}) {
		return failed(name+" is older than 13.5: it does not tell of every change, or tells in a way that can be forged", "install Asterisk 13.5 or newer; 22 is a good choice")
	}
	switch {
	case v.text == "":
		return Step{Result: Info, Says: "Asterisk does not tell its version to this account; by its greeting it is new enough"}
	case !v.known:
		return Step{Result: Info, Says: name + " is new enough; which advisories concern it cannot be told by its name"}
	}
	for _, a := range advisories() {
		if a.applies(v.number) {
			return warning(fmt.Sprintf("%s is new enough for the bridge, but by its number has %s (%s)", name, a.what, a.ids),
				"install a newer "+strconv.Itoa(v.major)+"; a distribution may have mended it under the old number: its changelog tells")
		}
	}
	return ok(name + " is new enough; no advisory that this program knows names it")
}
