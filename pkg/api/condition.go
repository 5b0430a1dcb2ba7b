package api

import (
	"net/http"
	"time"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// maxDrift bounds the extensions that a condition lists.
const maxDrift = 100

// condition is the answer of /api/v1/health, all that a page tells of how the bridge
// fares. Counts are since the start, times in seconds.
type condition struct {
	readiness                   // Reasons and Warnings are null for whom they are none of
	Store     storeCondition    `json:"store"`
	Lag       lag               `json:"lag"`
	Decisions map[string]uint64 `json:"decisions"` // events about presence, by what they were taken for
	Echoes    uint64            `json:"echoes"`    // of those, our own writes that came back
	Changes   uint64            `json:"changes"`   // of statuses
	HeldBack  uint64            `json:"held_back"`
	Inbox     int               `json:"inbox"` // reports of PBXs that wait to be decided
	Streams   int64             `json:"streams"`
	Reloads   reloads           `json:"reloads"`
	PBXs      []pbxCondition    `json:"pbxs"`
	Drift     driftCondition    `json:"drift"`
}

type storeCondition struct {
	Driver  string  `json:"driver"`
	Error   string  `json:"error"` // why nothing can be accepted now; "": it can
	Commits uint64  `json:"commits"`
	Failed  uint64  `json:"failed"`
	Latency latency `json:"latency"` // of commits that went well
	Waiting int     `json:"waiting"` // users who are not saved
}

// latency tells how long something takes: the half, and all but one of a hundred, of
// the last five minutes, and the last time.
type latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	Last float64 `json:"last"`
}

type lag struct {
	Decided   latency `json:"decided"`   // from the arrival of what a phone did
	Committed latency `json:"committed"` // from the decision
}

type reloads struct {
	Done    uint64     `json:"done"`
	Refused uint64     `json:"refused"`
	At      *time.Time `json:"at"`              // of the last one; nil: there was none
	InForce bool       `json:"in_force"`        // what it read; false: it was refused, and the one before stands
	Fault   string     `json:"fault,omitempty"` // why, its first line
}

type pbxCondition struct {
	bridge.PBX
	Reconnects uint64  `json:"reconnects"` // sessions behind the first
	Snapshot   float64 `json:"snapshot"`   // how long the last one took; 0: there was none
	Queue      int     `json:"queue"`      // orders that wait to be sent
	Writes     writes  `json:"writes"`
}

// writes are what became of the writes to a PBX.
type writes struct {
	Taken   uint64 `json:"taken"`
	Refused uint64 `json:"refused"`
	Unsent  uint64 `json:"unsent"` // their session was over; they are made again
}

type driftCondition struct {
	Count  int               `json:"count"`
	Oldest float64           `json:"oldest"` // its age; 0: there is none
	Items  []bridge.Drifting `json:"items"`
}

// condition tells everybody who may read how the bridge fares. The words of an error
// are for administrators, as those of /readyz: they have paths, addresses and lines of
// files in them. What is wrong with a PBX everybody may read at /api/v1/pbxs.
func (h *Handler) condition(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	drift, err := h.bridge.Drift(ctx, maxDrift)
	if err != nil {
		return err
	}
	return answer(w, h.conditionOf(drift, r.from.scope.covers(ScopeAdmin)))
}

func (h *Handler) conditionOf(drift bridge.Drift, words bool) condition {
	f, pbxs, did := h.bridge.Figures(), h.bridge.PBXs(), h.bridge.Reloads()
	c := condition{
		readiness: h.readiness(pbxs),
		Store: storeCondition{
			Driver: h.opt.Store, Commits: f.Store.Commit.Count, Failed: f.Store.Failed, Latency: latencyOf(&f.Store.Commit), Waiting: f.Store.Waiting,
		},
		Lag:       lag{latencyOf(&f.Arrived), latencyOf(&f.Lag)},
		Decisions: map[string]uint64{},
		Echoes:    f.Decided[presence.Echo],
		Changes:   f.Changes,
		HeldBack:  f.HeldBack,
		Inbox:     f.Inbox,
		Streams:   h.streams.Load(),
		Reloads:   reloads{Done: did.Done, Refused: did.Failed, InForce: did.Fault == nil},
		PBXs:      make([]pbxCondition, len(pbxs)),
		Drift:     driftCondition{Count: drift.Count, Oldest: age(drift.Oldest, h.opt.Now()), Items: drift.Items},
	}
	for i, n := range f.Decided[presence.Echo:] {
		c.Decisions[(presence.Echo + presence.Verdict(i)).String()] = n
	}
	if !did.At.IsZero() {
		at := did.At.UTC()
		c.Reloads.At = &at
	}
	for i := range pbxs {
		c.PBXs[i] = pbxConditionOf(pbxs[i], f.PBXs[i])
	}
	if c.Drift.Items == nil {
		c.Drift.Items = []bridge.Drifting{}
	}
	if err := f.Store.Err; err != nil {
		c.Store.Error = bridge.ErrUnsaved.Error()
		if words {
			c.Store.Error = err.Error()
		}
	}
	if !words {
		c.Reasons, c.Warnings, c.Told = nil, nil, nil
	} else if did.Fault != nil {
		c.Reloads.Fault = firstLine(did.Fault)
	}
	return c
}

func pbxConditionOf(p bridge.PBX, f bridge.PBXFigures) pbxCondition {
	return pbxCondition{PBX: p, Reconnects: reconnects(&p), Snapshot: p.Snapshot.Seconds(), Queue: f.Outbox, Writes: writes{f.Taken, f.Refused, f.Unsent}}
}

func latencyOf(t *bridge.Timing) latency {
	return latency{t.P50.Seconds(), t.P99.Seconds(), t.Last.Seconds()}
}

// age is how old t is in seconds; 0 where it is never.
func age(t presence.Time, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t.Time()), 0).Seconds()
}
