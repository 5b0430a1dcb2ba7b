package api

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// scrapeWait bounds how long a scrape waits for the owner loop: without an answer it
// tells all the rest.
const scrapeWait = 2 * time.Second

// metrics answers in the format that the client prefers, plain text by default. Each
// scrape has a registry of its own, whose figures are all of one moment.
func (h *Handler) metrics(w http.ResponseWriter, r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), min(scrapeWait, h.opt.Deadline))
	defer cancel()
	registry := prometheus.NewRegistry()
	for _, c := range append([]prometheus.Collector{scrape{ctx, h}}, h.opt.Collectors...) {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	format := expfmt.NegotiateAccept(r.Header, expfmt.NewFormat(expfmt.TypeTextPlain), expfmt.NewFormat(expfmt.TypeProtoDelim))
	encoder := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", string(format))
	_, _ = w.Write(b.Bytes())
	return nil
}

// scrape collects what /metrics tells. It belongs to one request.
type scrape struct {
	ctx context.Context //nolint:containedctx // prometheus.Collector has no place for it
	h   *Handler
}

// Describe says that Collect is not bound to anything beforehand.
func (s scrape) Describe(chan<- *prometheus.Desc) {}

// Collect tells all metrics. Their labels are names of PBXs and words of this program,
// never users or extensions.
func (s scrape) Collect(to chan<- prometheus.Metric) {
	m := metrics{to}
	b := s.h.bridge
	f, pbxs := b.Figures(), b.PBXs()
	m.gauge("build_info", "Always 1; the label is the version that runs.", 1, "version", s.h.opt.Version)
	m.gauge("ready", "Whether every PBX is ready and the store can be written, as /readyz tells.", truth(len(b.NotReady()) == 0))
	m.gauge("standby", "Whether another bridge holds the store and this one only answers.", truth(s.h.opt.Standby != nil))
	m.gauge("users", "Users in the mapping.", float64(b.Count()))
	m.reloads(b.Reloads())
	m.decisions(&f)
	m.store(&f.Store)
	m.gauge("event_streams", "Readers of events that are connected.", float64(s.h.streams.Load()))
	if t := s.h.opt.Tokens; t != nil {
		m.counter("sign_ins_refused_total", "Requests whose token was refused since the start.", t.refused.Load())
	}
	m.gauge("drift_extensions", "Extensions that are not known to show what they shall.", float64(f.Drift))
	if d, err := b.Drift(s.ctx, 0); err == nil {
		m.gauge("drift_oldest_seconds", "Age of the oldest wish that is not known to be shown; 0: there is none.", age(d.Oldest, s.h.opt.Now()))
	}
	for i := range pbxs {
		m.pbx(&pbxs[i], &f.PBXs[i])
	}
}

// metrics sends what belongs to this program to a scrape.
type metrics struct{ to chan<- prometheus.Metric }

func (m metrics) reloads(did bridge.Reloads) {
	const help = "Reloads of the mapping since the start."
	m.counter("reloads_total", help, did.Done, "result", "done")
	m.counter("reloads_total", help, did.Failed, "result", "refused")
	m.gauge("reload_refused", "Whether the last reload was refused and an older mapping is in force.", truth(did.Fault != nil))
}

func (m metrics) decisions(f *bridge.Figures) {
	for i, n := range f.Decided[presence.Echo:] {
		m.counter("decisions_total", "Events about presence since the start, by what they were taken for; echo: our own write, which is nobody's opinion.", n,
			"result", (presence.Echo + presence.Verdict(i)).String())
	}
	m.counter("status_changes_total", "Changes of statuses since the start.", f.Changes)
	m.counter("changes_held_back_total", "Changes of statuses that phones made faster than a person could, so that they showed later or not at all.", f.HeldBack)
	m.gauge("inbox_reports", "Reports of PBXs that wait to be decided.", float64(f.Inbox))
	m.histogram("event_decision_seconds", "Time from the arrival of what a phone did to its decision.", &f.Arrived)
	m.histogram("decision_commit_seconds", "Time from a decision until it is in the store.", &f.Lag)
}

func (m metrics) store(f *bridge.StoreFigures) {
	m.histogram("store_commit_seconds", "Time that commits took that went well.", &f.Commit)
	m.counter("store_commits_failed_total", "Commits that did not go well since the start; each is tried again.", f.Failed)
	m.gauge("store_waiting_users", "Users who are not saved yet.", float64(f.Waiting))
	m.gauge("store_failing", "Whether the store cannot be written, so that no choice is accepted.", truth(f.Err != nil))
}

func (m metrics) pbx(p *bridge.PBX, f *bridge.PBXFigures) {
	gauge := func(name, help string, value float64) { m.gauge("pbx_"+name, help, value, "pbx", p.PBX) }
	counter := func(name, help string, n uint64) { m.counter("pbx_"+name, help, n, "pbx", p.PBX) }
	gauge("connected", "Whether the bridge is logged in to the PBX.", truth(p.Connected))
	gauge("ready", "Whether the PBX has a complete snapshot and its canary was seen.", truth(p.Ready))
	gauge("extensions", "Extensions of users on the PBX.", float64(p.Extensions))
	gauge("pending", "Extensions that are not known to show what they shall.", float64(p.Pending))
	counter("sessions_total", "Sessions begun since the start.", p.Sessions)
	counter("reconnects_total", "Sessions behind the first since the start.", reconnects(p))
	counter("malformed_total", "Frames refused since the start.", p.Malformed)
	gauge("outbox_orders", "Writes and readings that wait to be sent to the PBX.", float64(f.Outbox))
	gauge("snapshot_seconds", "Time that the last snapshot took; 0: there was none.", p.Snapshot.Seconds())
	gauge("canary_timestamp_seconds", "When the canary of the PBX was seen last, in seconds since 1970; 0: not yet.", since1970(f.Canary))
	for _, w := range []struct {
		result string
		n      uint64
	}{{"taken", f.Taken}, {"refused", f.Refused}, {"unsent", f.Unsent}} {
		m.counter("pbx_writes_total", "Writes to the PBX since the start, by what became of them.", w.n, "pbx", p.PBX, "result", w.result)
	}
}

// reconnects are the sessions behind the first.
func reconnects(p *bridge.PBX) uint64 { return max(p.Sessions, 1) - 1 }

// gauge tells a value. labels are names and values in turn.
func (m metrics) gauge(name, help string, value float64, labels ...string) {
	m.send(name, help, prometheus.GaugeValue, value, labels)
}

func (m metrics) counter(name, help string, n uint64, labels ...string) {
	m.send(name, help, prometheus.CounterValue, float64(n), labels)
}

func (m metrics) send(name, help string, kind prometheus.ValueType, value float64, labels []string) {
	m.to <- prometheus.MustNewConstMetric(describe(name, help, labels), kind, value)
}

func (m metrics) histogram(name, help string, t *bridge.Timing) {
	upTo, below := make(map[float64]uint64, len(bridge.TimingBounds)), uint64(0)
	for i, most := range bridge.TimingBounds {
		below += t.Counts[i]
		upTo[most.Seconds()] = below
	}
	m.to <- prometheus.MustNewConstHistogram(describe(name, help, nil), t.Count, t.Sum.Seconds(), upTo)
}

func describe(name, help string, labels []string) *prometheus.Desc {
	with := prometheus.Labels{}
	for i := 0; i < len(labels); i += 2 {
		with[labels[i]] = labels[i+1]
	}
	return prometheus.NewDesc("presencebridge_"+name, help, nil, with)
}

// since1970 is t in seconds since 1970; 0 where it is zero.
func since1970(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
