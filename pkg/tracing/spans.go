package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/presencebridge/presencebridge/pkg/bridge"
)

// recorder makes spans of ways. It belongs to one goroutine.
type recorder struct {
	tracer trace.Tracer
	ended  *kept
	users  bool
}

// newRecorder has a provider of its own: none is made the one of the process.
func newRecorder(cfg Config) *recorder {
	ended := &kept{}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // who follows has decided
		sdktrace.WithSpanProcessor(ended),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: maxText, AttributeCountLimit: 32, EventCountLimit: 8, LinkCountLimit: 0, AttributePerEventCountLimit: 4, AttributePerLinkCountLimit: 0,
		}),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "presencebridge"),
			attribute.String("service.version", cfg.Version),
			attribute.String("service.instance.id", cfg.Host),
		)),
	)
	return &recorder{tracer: provider.Tracer("github.com/presencebridge/presencebridge"), ended: ended, users: cfg.Users}
}

// maxText bounds an attribute, in characters. An id of a user may be long.
const maxText = 128

// remote reads the header traceparent. What is none of W3C's is not valid.
func remote(parent string) trace.SpanContext {
	return trace.SpanContextFromContext(carryOn(parent))
}

func carryOn(parent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent})
}

// names are what the spans of ways are called.
var names = map[bridge.WayKind]string{
	bridge.PresenceWay: "presence event", bridge.PhoneWay: "phone event", bridge.DNDWay: "dnd event", bridge.ChoiceWay: "choice",
}

// record makes the spans of w:
//
//	presence event | phone event | dnd event | choice
//	  read     from the wire to the inbox (AMI alone)
//	  inbox    until it was decided; of a choice: until the loop took it
//	  decide
//	  page     until pages were told, or the first one had it
//	  store    until it was saved; the commit began at the event of that name
//	  write    to one extension, until its echo; sent and taken are events
func (r *recorder) record(w *bridge.Way) {
	ctx, kind, began := context.Background(), trace.SpanKindConsumer, w.Arrived
	if w.Kind == bridge.ChoiceWay {
		ctx, kind = carryOn(w.Parent), trace.SpanKindServer
	}
	if !w.Read.IsZero() {
		began = w.Read
	}
	ctx, root := r.tracer.Start(ctx, names[w.Kind], trace.WithSpanKind(kind), trace.WithTimestamp(began), trace.WithAttributes(r.about(w)...))
	step := func(name string, from, to time.Time, kind trace.SpanKind, attributes ...attribute.KeyValue) span {
		_, s := r.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithTimestamp(from), trace.WithAttributes(attributes...))
		if to.IsZero() { // it is not over
			to = w.Ended
		}
		return span{s, to}
	}
	if !w.Read.IsZero() {
		step("read", w.Read, w.Arrived, trace.SpanKindInternal).end()
	}
	step("inbox", w.Arrived, w.Began, trace.SpanKindInternal).end()
	step("decide", w.Began, w.Decided, trace.SpanKindInternal, decision(w)...).end()
	if !w.Shown.IsZero() {
		step("page", w.Shown, later(w.Published, w.Rendered), trace.SpanKindInternal).at("published", w.Published).at("rendered", w.Rendered).end()
	}
	if w.Durable {
		step("store", w.Decided, w.Saved, trace.SpanKindClient, attribute.Int("presencebridge.commits", w.Commits)).at("commit", w.Committed).end()
	}
	for i := range w.Writes {
		x := &w.Writes[i]
		s := step("write", x.Asked, x.Ended, trace.SpanKindClient, r.written(x)...).at("sent", x.Sent).at("taken", x.Taken)
		if x.Outcome == bridge.NotTaken {
			s.SetStatus(codes.Error, "the PBX did not take it")
		}
		s.end()
	}
	root.End(trace.WithTimestamp(w.Ended))
}

// span is one that ends at a time that is known.
type span struct {
	trace.Span

	to time.Time
}

// at notes what happened meanwhile, if it did.
func (s span) at(event string, t time.Time) span {
	if !t.IsZero() {
		s.AddEvent(event, trace.WithTimestamp(t))
	}
	return s
}

func (s span) end() { s.End(trace.WithTimestamp(s.to)) }

func later(t, u time.Time) time.Time {
	if u.After(t) {
		return u
	}
	return t
}

// about are the attributes of a whole way.
func (r *recorder) about(w *bridge.Way) []attribute.KeyValue {
	var all []attribute.KeyValue
	if w.Kind == bridge.ChoiceWay {
		all = append(all, attribute.String("presencebridge.by", w.By))
	} else {
		all = append(all, attribute.String("presencebridge.pbx", w.Extension.PBX))
	}
	if r.users {
		all = append(all, attribute.String("presencebridge.user", string(w.User)))
		if w.Kind != bridge.ChoiceWay {
			all = append(all, attribute.String("presencebridge.extension", w.Extension.Number))
		}
	}
	if w.Cut {
		all = append(all, attribute.Bool("presencebridge.cut", true))
	}
	return all
}

// decision are the attributes of what was decided.
func decision(w *bridge.Way) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.Bool("presencebridge.changed", w.Changed),
		attribute.Bool("presencebridge.held_back", w.HeldBack),
		attribute.String("presencebridge.rule", string(w.Rule)),
	}
	if w.Kind == bridge.PresenceWay {
		all = append(all, attribute.String("presencebridge.verdict", w.Verdict.String()))
	}
	return all
}

// written are the attributes of a write.
func (r *recorder) written(x *bridge.WayWrite) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("presencebridge.pbx", x.Extension.PBX),
		attribute.String("presencebridge.outcome", string(x.Outcome)),
		attribute.Bool("presencebridge.dnd", x.DND),
	}
	if r.users {
		all = append(all, attribute.String("presencebridge.extension", x.Extension.Number))
	}
	return all
}

// take returns the spans that were made since it was called last.
func (r *recorder) take() []sdktrace.ReadOnlySpan {
	spans := r.ended.spans
	r.ended.spans = nil
	return spans
}

// kept is a sdktrace.SpanProcessor that keeps the spans that have ended.
type kept struct{ spans []sdktrace.ReadOnlySpan }

// OnStart does nothing.
func (k *kept) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd keeps s.
func (k *kept) OnEnd(s sdktrace.ReadOnlySpan) { k.spans = append(k.spans, s) }

// Shutdown does nothing.
func (k *kept) Shutdown(context.Context) error { return nil }

// ForceFlush does nothing: who keeps them takes them.
func (k *kept) ForceFlush(context.Context) error { return nil }
