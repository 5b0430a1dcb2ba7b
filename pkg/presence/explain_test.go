package presence

import (
	"testing"
	"time"
)

func TestExplainTellsWhatADeviceSaysAndWhetherAnybodyTells(t *testing.T) {
	g := newQuietRig(t, only(desk))
	explain := func() Reasoning { return g.v.Explain(g.r, g.at).Extensions[0] }
	g.flip(desk, true)
	at := g.at
	if y := explain(); y.DND != "on" || !y.DNDSince.Equal(at) || y.DNDStale {
		t.Errorf("on: %+v", y)
	}
	g.settle()
	g.wait(time.Minute)
	g.down("main")
	if y := explain(); y.DND != "on" || !y.DNDSince.IsZero() || !y.DNDStale {
		t.Errorf("its PBX away: %+v", y)
	}
	g.connect("main", map[string]Presence{"1001": dnd})
	g.do(Input{Kind: DNDListed, PBX: "main"})
	if y := explain(); y.DND != "" || y.DNDStale {
		t.Errorf("none: %+v", y)
	}
}
