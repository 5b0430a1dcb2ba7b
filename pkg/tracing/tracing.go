// Package tracing sends the ways of a share of events and choices through the bridge to a
// collector of OpenTelemetry, over OTLP/HTTP. It keeps nobody waiting: what does not fit
// into its queue, or the collector does not take, is dropped and counted.
package tracing

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

const (
	// maxQueue is how many ways wait at most: a megabyte or two of them.
	maxQueue = 1024
	// maxBatch is how many go in one request, some hundred spans.
	maxBatch = 64
	// batchWait is how long a way waits for others.
	batchWait = time.Second
	// tries is how often a batch is sent before it is dropped, retryWait how long it waits
	// after the first time, and then twice as long each time.
	tries     = 4
	retryWait = time.Second
	// flushWait is how long a stop waits for what is left.
	flushWait = 2 * time.Second
	// warnEvery is how often the log tells that something is wrong.
	warnEvery = 10 * time.Minute
)

// Config says what is followed, and who is told.
type Config struct {
	URL     string  // where spans are posted
	Share   float64 // of events and choices that is followed; 0: only choices that a trace came along with
	Users   bool    // name users and extensions
	Header  string  // that has the token; "": there is none
	Token   func() string
	TLS     *tls.Config // nil: as usual
	Version string      // of the program
	Host    string      // that it runs on
}

// Figures are what has become of ways since the start.
type Figures struct {
	Sent     uint64
	Full     uint64 // dropped, the queue was full
	Away     uint64 // dropped, the collector did not answer
	Refused  uint64 // dropped, it did not want them
	Rejected uint64 // spans of those sent that it did not want
	Waiting  int
}

// Exporter is a bridge.Tracer. Run sends what it takes.
type Exporter struct {
	share     float64
	queue     chan *bridge.Way
	collector *collector
	spans     *recorder // Run's alone, as all below
	log       *zap.Logger

	warned time.Time // when the log told last of what is wrong
	told   bool      // it has of what is wrong now
	seen   uint64    // of full

	sent, full, away, refused, rejected atomic.Uint64
}

// New makes an Exporter, which connects to nothing before Run.
func New(cfg Config, log *zap.Logger) *Exporter {
	return &Exporter{
		share:     cfg.Share,
		queue:     make(chan *bridge.Way, maxQueue),
		collector: newCollector(cfg),
		spans:     newRecorder(cfg),
		log:       log,
	}
}

// Follows wants the share that is configured. Of a choice that belongs to somebody's trace
// it wants what that one wants.
func (e *Exporter) Follows(parent string) bool {
	if parent != "" {
		if c := remote(parent); c.IsValid() {
			return c.IsSampled()
		}
	}
	return rand.Float64() < e.share //nolint:gosec // nobody gains by guessing it
}

// Trace puts w into the queue, or drops it where that is full.
func (e *Exporter) Trace(w *bridge.Way) {
	select {
	case e.queue <- w:
	default:
		e.full.Add(1)
	}
}

// Figures returns what has been counted by now.
func (e *Exporter) Figures() Figures {
	return Figures{
		Sent: e.sent.Load(), Full: e.full.Load(), Away: e.away.Load(), Refused: e.refused.Load(), Rejected: e.rejected.Load(), Waiting: len(e.queue),
	}
}

// Run sends until ctx ends, then what is left, for flushWait at most.
func (e *Exporter) Run(ctx context.Context) {
	defer e.collector.close()
	var left []batch
	for ctx.Err() == nil {
		if b := e.gather(ctx); !e.deliver(ctx, b) {
			left = append(left, b)
		}
		if full := e.full.Load(); full != e.seen {
			e.seen = full
			e.warn(errFull)
		}
	}
	for len(e.queue) > 0 {
		left = append(left, e.gather(ctx))
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWait)
	defer cancel()
	for _, b := range left {
		e.settle(b, e.send(limited, b))
	}
}

// batch is what goes in one request.
type batch struct {
	ways  int
	spans []sdktrace.ReadOnlySpan
}

// gather waits for a way, and batchWait for more; when ctx has ended for none.
func (e *Exporter) gather(ctx context.Context) batch {
	var n int
	var full <-chan time.Time
	for n < maxBatch && (ctx.Err() == nil || len(e.queue) > 0) {
		select {
		case w := <-e.queue:
			e.spans.record(w)
			if n++; full == nil {
				full = time.After(batchWait)
			}
		case <-full:
			return batch{n, e.spans.take()}
		case <-ctx.Done():
		}
	}
	return batch{n, e.spans.take()}
}

// deliver sends b until it has been taken or is not worth trying on. false: ctx has ended
// before.
func (e *Exporter) deliver(ctx context.Context, b batch) bool {
	wait := retryWait
	for try := 1; ; try++ {
		err := e.send(ctx, b)
		switch {
		case err != nil && ctx.Err() != nil:
			return false
		case err == nil || try == tries || !passing(err):
			e.settle(b, err)
			return true
		}
		e.warn(err)
		select {
		case <-time.After(max(wait+rand.N(wait/2), asked(err))): //nolint:gosec // only so that not all try at once
		case <-ctx.Done():
			return false
		}
		wait *= 2
	}
}

func (e *Exporter) send(ctx context.Context, b batch) error {
	if b.ways == 0 {
		return nil
	}
	rejected, err := e.collector.send(ctx, b.spans)
	if rejected > 0 {
		e.rejected.Add(rejected)
		e.warn(errRejected)
	}
	return err
}

// settle counts what has become of b.
func (e *Exporter) settle(b batch, err error) {
	switch {
	case b.ways == 0:
		return
	case err == nil:
		e.sent.Add(uint64(b.ways))
	case passing(err):
		e.away.Add(uint64(b.ways))
	default:
		e.refused.Add(uint64(b.ways))
	}
	if err != nil {
		e.warn(err)
	} else if e.told {
		e.told = false
		e.log.Info("traces are taken again")
	}
}

// warn tells what is wrong, once in a while.
func (e *Exporter) warn(err error) {
	if now := time.Now(); e.warned.IsZero() || now.Sub(e.warned) >= warnEvery {
		e.warned, e.told = now, true
		e.log.Warn("traces do not reach the collector; the bridge goes on without", zap.Uint64("dropped", e.full.Load()+e.away.Load()+e.refused.Load()), zap.Error(err))
	}
}
