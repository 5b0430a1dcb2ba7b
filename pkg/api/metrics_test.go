package api_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/api/apitest"
	"github.com/presencebridge/presencebridge/pkg/bridge"
)

// scraped is what Prometheus reads of h.
func scraped(t *testing.T, h http.Handler) map[string]*dto.MetricFamily {
	t.Helper()
	w := do(h, request("GET", "/metrics", ""))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return families
}

// Prometheus keeps a series for each value of a label, so none names a user.
func TestLabelsOfMetricsAreFew(t *testing.T) {
	allowed := map[string]int{"pbx": len(apitest.PBXs()), "result": 11, "version": 1}
	seen := map[string][]string{}
	for name, f := range scraped(t, handler(apitest.New())) {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if _, ok := allowed[l.GetName()]; !ok {
					t.Errorf("%s has the label %s", name, l.GetName())
				}
				if !slices.Contains(seen[l.GetName()], l.GetValue()) {
					seen[l.GetName()] = append(seen[l.GetName()], l.GetValue())
				}
			}
		}
	}
	for label, most := range allowed {
		if n := len(seen[label]); n == 0 || n > most {
			t.Errorf("%s has %d values: %q", label, n, seen[label])
		}
	}
}

func TestAPBXWithAnyNameHasMetrics(t *testing.T) {
	const name = "a\"b\\c\nd"
	b := apitest.New()
	b.Conditions, b.Counted.PBXs = b.Conditions[:1], b.Counted.PBXs[:1]
	b.Conditions[0].PBX = name
	for _, m := range scraped(t, handler(b))["presencebridge_pbx_ready"].GetMetric() {
		if got := m.GetLabel()[0].GetValue(); got != name {
			t.Errorf("the label is %q", got)
		}
	}
}

// A bridge whose loop stands still is the one that somebody looks at.
func TestMetricsNeedNoAnswerOfTheLoop(t *testing.T) {
	b := apitest.New()
	b.DriftErr = context.DeadlineExceeded
	got := scraped(t, handler(b))
	if got["presencebridge_drift_oldest_seconds"] != nil || got["presencebridge_drift_extensions"] == nil || got["presencebridge_ready"] == nil {
		t.Errorf("without the loop there are %d families", len(got))
	}
}

func TestMetricsTellOfTrouble(t *testing.T) {
	b := apitest.New()
	troubled(b)
	got := scraped(t, handler(b))
	for name, want := range map[string]float64{"ready": 0, "store_failing": 1, "reload_refused": 1} {
		if v := got["presencebridge_"+name].GetMetric()[0].GetGauge().GetValue(); v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
}

func TestBucketsOfHistogramsAddUp(t *testing.T) {
	b := apitest.New()
	var counts bridge.Timing
	for i := range counts.Counts {
		counts.Counts[i] = 1
		counts.Count++
	}
	b.Counted.Arrived = counts
	h := scraped(t, handler(b))["presencebridge_event_decision_seconds"].GetMetric()[0].GetHistogram()
	for i, bucket := range h.GetBucket() {
		if got, want := bucket.GetCumulativeCount(), uint64(i+1); got != want {
			t.Errorf("up to %v s there are %d, want %d", bucket.GetUpperBound(), got, want)
		}
	}
	if h.GetSampleCount() != counts.Count || len(h.GetBucket()) < len(bridge.TimingBounds) {
		t.Errorf("%d in %d buckets", h.GetSampleCount(), len(h.GetBucket()))
	}
}

// What a scrape gathers twice cannot be told, and a half answer would be taken for all.
func TestMetricsThatContradictOneAnotherAreAnError(t *testing.T) {
	same := func() prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "presencebridge_users"}, func() float64 { return 1 })
	}
	h := api.New(apitest.New(), api.Options{Collectors: []prometheus.Collector{same()}})
	if w := do(h, request("GET", "/metrics", "")); w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "presencebridge_users ") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestWhoWantsAnythingGetsText(t *testing.T) {
	for _, accept := range []string{"*/*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "x", ""} {
		r := request("GET", "/metrics", "")
		r.Header.Set("Accept", accept)
		if got := do(handler(apitest.New()), r).Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4; charset=utf-8") {
			t.Errorf("who accepts %q gets %q", accept, got)
		}
	}
}

func TestAScrapeMayAskForAnotherFormat(t *testing.T) {
	r := request("GET", "/metrics", "")
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	w := do(handler(apitest.New()), r)
	var f dto.MetricFamily
	if err := expfmt.NewDecoder(w.Body, expfmt.ResponseFormat(w.Header())).Decode(&f); err != nil || !strings.HasPrefix(f.GetName(), "presencebridge_") {
		t.Errorf("%s: %v, %v", w.Header().Get("Content-Type"), f.GetName(), err)
	}
}
