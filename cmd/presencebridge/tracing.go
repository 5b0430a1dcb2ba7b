package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/connector/asterisk/diagnose"
	"github.com/presencebridge/presencebridge/pkg/tracing"
)

// tracer tells a collector of OpenTelemetry of the ways of events and choices. nil: nobody
// is told.
type tracer struct{ *tracing.Exporter }

// openTracing returns nil where nothing is traced. An error is about the file of
// authorities.
func openTracing(cfg config.Tracing, log *zap.Logger) (*tracer, error) {
	if cfg.URL == "" {
		return nil, nil
	}
	c, err := tracingConfig(cfg)
	if err != nil {
		return nil, err
	}
	return &tracer{tracing.New(c, log.Named("tracing"))}, nil
}

func tracingConfig(cfg config.Tracing) (tracing.Config, error) {
	encrypted, err := tlsConfig(cfg.TLS)
	if err != nil {
		return tracing.Config{}, fmt.Errorf("tracing: %w", err)
	}
	return tracing.Config{
		URL: cfg.URL, Share: cfg.Share, Users: cfg.Users, Header: cfg.Header, TLS: encrypted, Version: thisVersion().Version, Host: holder(),
		Token: func() string { return withScheme(cfg.Header, cfg.Token.Reveal()) },
	}, nil
}

// withScheme is what stands in a header for a token.
func withScheme(header, token string) string {
	if strings.EqualFold(header, "Authorization") && !strings.Contains(token, " ") {
		return "Bearer " + token
	}
	return token
}

// follows is the bridge's view of it.
func (t *tracer) follows() bridge.Tracer {
	if t == nil {
		return nil
	}
	return t.Exporter
}

// run tells until ctx ends, and then of what is left.
func (t *tracer) run(ctx context.Context) {
	if t != nil {
		t.Run(ctx)
	}
}

// collectorTrial is how long doctor waits for the collector.
const collectorTrial = 15 * time.Second

// Describe says that Collect is not bound to anything beforehand.
func (t *tracer) Describe(chan<- *prometheus.Desc) {}

// Collect tells what has become of traces; nothing, where there are none.
func (t *tracer) Collect(to chan<- prometheus.Metric) {
	if t == nil {
		return
	}
	f := t.Figures()
	total := prometheus.NewDesc("presencebridge_traces_total", "Traces since the start, by what became of them; those not sent were dropped: full, the queue was; unanswered or refused, by the collector.", []string{"result"}, nil)
	for result, n := range map[string]uint64{"sent": f.Sent, "full": f.Full, "unanswered": f.Away, "refused": f.Refused} {
		to <- prometheus.MustNewConstMetric(total, prometheus.CounterValue, float64(n), result)
	}
	rejected := prometheus.NewDesc("presencebridge_trace_spans_rejected_total", "Spans of sent traces that the collector did not want.", nil, nil)
	to <- prometheus.MustNewConstMetric(rejected, prometheus.CounterValue, float64(f.Rejected))
	waiting := prometheus.NewDesc("presencebridge_traces_waiting", "Traces that wait to be sent.", nil, nil)
	to <- prometheus.MustNewConstMetric(waiting, prometheus.GaugeValue, float64(f.Waiting))
}

func sameTracing(a, b config.Tracing) bool {
	same := a.Token.Equal(b.Token)
	a.Token, b.Token = config.Secret{}, config.Secret{}
	return same && a == b
}

// examineTracing sends the collector a request without a trace.
func (m *Main) examineTracing(ctx context.Context, cfg config.Tracing) []diagnose.Step {
	const name = "collector"
	defer m.progress("")
	if cfg.Header != "" && cfg.Token.Reveal() == "" {
		return []diagnose.Step{found(name, diagnose.Warning, "nothing was tried: you may not read the token", "run doctor as root")}
	}
	c, err := tracingConfig(cfg)
	if err != nil {
		return []diagnose.Step{found(name, diagnose.Warning, err.Error(), "correct tracing.tls.ca_file")}
	}
	m.progress("tracing: " + name)
	ctx, cancel := context.WithTimeout(ctx, collectorTrial)
	defer cancel()
	if err := tracing.Ask(ctx, c); err != nil {
		return []diagnose.Step{found(name, diagnose.Warning, fmt.Sprintf("%s takes no traces: %v", cfg.URL, err),
			"see that this machine reaches it, that it takes OTLP over HTTP (mostly port 4318) there, and that it knows the token; the bridge works without")}
	}
	return []diagnose.Step{found(name, diagnose.OK, cfg.URL+" takes traces", "")}
}
