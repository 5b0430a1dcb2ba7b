package asterisk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/ami"
	"github.com/presencebridge/presencebridge/pkg/ari"
	"github.com/presencebridge/presencebridge/pkg/connector"
)

// heckler is a session that does nothing but speak.
type heckler struct {
	of     *side
	silent error // why it was silenced
}

func (h *heckler) side() *side                                  { return h.of }
func (h *heckler) write(context.Context, connector.Order) error { return nil }
func (h *heckler) read(context.Context, connector.Order) error  { return nil }
func (h *heckler) relist()                                      {}
func (h *heckler) silence(why error)                            { h.silent = why }

func TestWhoHasTheFloorAloneIsHeard(t *testing.T) {
	c, err := New(Config{Name: "main", Instance: "a", AMI: ami.Config{Address: "pbx:5038"}, ARI: ari.Config{URL: "http://pbx/ari"}}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	c.sink = func(r connector.Report) { told = append(told, fmt.Sprint(r.Kind, r.Session, r.First)) }
	overAMI, overARI, late := &heckler{of: &c.ami}, &heckler{of: &c.ari}, &heckler{of: &c.ari}
	said := func(what string, want ...connector.Report) {
		t.Helper()
		var texts []string
		for _, r := range want {
			texts = append(texts, fmt.Sprint(r.Kind, r.Session, r.First))
		}
		if got, want := strings.Join(told, ", "), strings.Join(texts, ", "); got != want {
			t.Errorf("%s: told %s, want %s", what, got, want)
		}
		told = nil
	}
	change, first := connector.Report{Kind: connector.Changed}, connector.Report{Kind: connector.Snapshot}

	c.tell(overARI, change)
	said("before anybody has the floor")
	if !c.take(overARI, first) {
		t.Error("ARI did not get a free floor")
	}
	c.tell(overAMI, change)
	c.tell(overARI, change)
	said("ARI", connector.Report{Kind: connector.Snapshot, Session: 1, First: true}, change)
	if !c.take(overAMI, first) || !errors.Is(overARI.silent, errTakenOver) {
		t.Errorf("AMI did not take the floor; ARI was told %v", overARI.silent)
	}
	c.tell(overARI, change)
	c.leave(overARI, errTakenOver)
	c.tell(overAMI, first)
	said("AMI", connector.Report{Kind: connector.Down, Session: 1}, connector.Report{Kind: connector.Snapshot, Session: 2, First: true},
		connector.Report{Kind: connector.Snapshot, Session: 2})
	if c.take(late, first) {
		t.Error("ARI took the floor from AMI")
	}
	c.tell(late, change)
	c.leave(late, errTakenOver)
	said("ARI that came too late")
	before := time.Now()
	c.leave(overAMI, errShutdown)
	said("the end", connector.Report{Kind: connector.Down, Session: 2})
	if c.left.Before(before) {
		t.Error("ARI may have the floor at once")
	}
}
