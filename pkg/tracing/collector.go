package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	// answerWait bounds one request.
	answerWait = 10 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes.
	maxAnswer = 64 << 10
	// maxPause bounds how long a collector can ask to be left alone.
	maxPause = 30 * time.Second
)

var (
	errFull     = errors.New("more is followed than the collector takes: tracing.sample could be lower")
	errSlow     = errors.New("it does not answer in time")
	errRejected = errors.New("the collector took a part only")
)

// collector is who takes traces. OTLP over HTTP is spoken here, in a hundred lines, as the
// exporter of OpenTelemetry for it links all of gRPC (DESIGN.md, 2).
type collector struct {
	url    string
	header string // "": no token
	token  func() string
	http   *http.Client
	export *otlptrace.Exporter

	rejected uint64 // spans of the request under way
}

func newCollector(cfg Config) *collector {
	c := &collector{
		url: cfg.URL, header: cfg.Header, token: cfg.Token,
		http: &http.Client{
			Timeout: answerWait,
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
				TLSHandshakeTimeout: answerWait, MaxResponseHeaderBytes: maxAnswer,
			},
			// A token is for the collector, and not for whom that names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.export = otlptrace.NewUnstarted(c)
	return c
}

// Ask sends an empty request, as a collector takes too. nil: it would take traces.
func Ask(ctx context.Context, cfg Config) error {
	c := newCollector(cfg)
	defer c.close()
	return c.UploadTraces(ctx, nil)
}

func (c *collector) close() { c.http.CloseIdleConnections() }

// send returns how many of the spans the collector did not want. One at a time calls it.
func (c *collector) send(ctx context.Context, spans []sdktrace.ReadOnlySpan) (rejected uint64, err error) {
	c.rejected = 0
	err = c.export.ExportSpans(ctx, spans)
	return min(c.rejected, uint64(len(spans))), err
}

// Start is for package otlptrace.
func (c *collector) Start(context.Context) error { return nil }

// Stop is for package otlptrace.
func (c *collector) Stop(context.Context) error { return nil }

// UploadTraces posts spans, for package otlptrace. On the wire TracesData is what
// ExportTraceServiceRequest is, whose package links all of gRPC.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("User-Agent", "presencebridge")
	if c.header != "" {
		r.Header.Set(c.header, c.token())
	}
	w, err := c.http.Do(r)
	if err != nil {
		return &refusal{err: withoutURL(err), passes: true}
	}
	defer func() { _ = w.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(w.Body, maxAnswer))
	switch {
	case w.StatusCode/100 != 2:
		return refused(w)
	case err != nil:
		return &refusal{err: withoutURL(err), passes: true}
	}
	c.rejected = rejectedOf(answer)
	return nil
}

// refusal is why a collector did not take something.
type refusal struct {
	err    error
	passes bool          // trying on may help
	pause  time.Duration // that it asks for
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// passing tells whether trying on may help.
func passing(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.passes
}

// asked is the pause that a collector asks for, 0 if for none.
func asked(err error) time.Duration {
	var r *refusal
	if errors.As(err, &r) {
		return r.pause
	}
	return 0
}

// refused is the refusal of an answer. The protocol names those after which a client tries
// on (OTLP/HTTP, Retryable Response Codes). What else it says may hold anything.
func refused(w *http.Response) *refusal {
	r := &refusal{err: fmt.Errorf("it answers %d %s", w.StatusCode, http.StatusText(w.StatusCode))}
	switch w.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		r.passes = true
		if n, err := strconv.ParseUint(w.Header.Get("Retry-After"), 10, 16); err == nil {
			r.pause = min(time.Duration(n)*time.Second, maxPause)
		}
	}
	return r
}

// withoutURL takes the address away from an error, which the configuration has.
func withoutURL(err error) error {
	var u *url.Error
	if !errors.As(err, &u) {
		return err
	}
	if u.Timeout() {
		return errSlow
	}
	return u.Err
}

// rejectedOf reads partial_success.rejected_spans of an ExportTraceServiceResponse.
func rejectedOf(answer []byte) uint64 {
	partial := field(answer, 1, protowire.BytesType)
	n, _ := protowire.ConsumeVarint(field(partial, 1, protowire.VarintType))
	if n > math.MaxInt64 { // it is an int64
		return 0
	}
	return n
}

// field returns the value of a field of a message, without its length; nil where there is
// none, or the message is none.
func field(message []byte, number protowire.Number, kind protowire.Type) []byte {
	for len(message) > 0 {
		got, as, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(got, as, message)
		if size < 0 {
			return nil
		}
		if got == number && as == kind {
			if kind == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(message)
				return value
			}
			return message[:size]
		}
		message = message[size:]
	}
	return nil
}
