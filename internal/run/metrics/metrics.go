// Package metrics counts what a process does and shows the state of the fleet, in Prometheus's form, without an id in
// any label.
package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Metrics are those of one process, in a registry of their own. It is a worker.Observer, and Call is for
// dingtalk.Config.Observe; both only count. docs/metrics.md explains each metric.
type Metrics struct {
	registry *prometheus.Registry

	calls      *prometheus.CounterVec
	codes      *prometheus.CounterVec
	throttles  *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	wait       *prometheus.HistogramVec
	removals   *prometheus.CounterVec
	pairs      *prometheus.CounterVec
	deadPairs  *prometheus.CounterVec
	knownCodes codeSet
}

// Label values of pairs and of removal calls.
const (
	outcomeReopened = "reopened"
	purposeRemove   = "remove"
	purposeIsolate  = "isolate"
)

var (
	callBuckets = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}
	waitBuckets = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
)

// New returns the metrics of a process of this version. Every label value whose set is closed is there from the start,
// so that a rate over its first event is right.
func New(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "unrole_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "unrole_" + name, Help: help, Buckets: buckets}, []string{label})
	}
	m := &Metrics{
		registry:  prometheus.NewRegistry(),
		calls:     counter("calls_total", "Calls to DingTalk that this process made, by API and class of the answer.", "op", "class"),
		codes:     counter("call_codes_total", "Calls to DingTalk by the code that decided; codes beyond the first 100 count as other.", "code"),
		throttles: counter("throttled_total", "Throttled calls by whom the limit concerns.", "scope"),
		duration:  histogram("call_duration_seconds", "How long one exchange with DingTalk took, by API.", callBuckets, "op"),
		wait:      histogram("slot_wait_seconds", "How long a batch waited for its slot, by lane; pauses and holds count.", waitBuckets, "lane"),
		removals:  counter("removal_calls_total", "Removal calls by purpose: remove, or isolate a bad id.", "purpose"),
		pairs:     counter("pairs_total", "Pairs by what became of them; a dead letter that is tried again counts as reopened.", "outcome"),
		deadPairs: counter("dead_letter_pairs_total", "Pairs that became dead letters, by reason.", "reason"),
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "unrole_build_info", Help: "1, with the version of this process."}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	m.registry.MustRegister(m.calls, m.codes, m.throttles, m.duration, m.wait, m.removals, m.pairs, m.deadPairs, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	for _, op := range dingtalk.Ops() {
		m.duration.WithLabelValues(op)
		for _, class := range dingtalk.Classes() {
			m.calls.WithLabelValues(op, class.String())
		}
	}
	for _, limit := range throttleLimits {
		m.throttles.WithLabelValues(limit.String())
	}
	for _, code := range []string{"0", otherCode, noAnswer} {
		m.codes.WithLabelValues(code)
		m.knownCodes.add(code)
	}
	for _, lane := range tasks.Lanes() {
		m.wait.WithLabelValues(lane)
	}
	m.removals.WithLabelValues(purposeRemove)
	m.removals.WithLabelValues(purposeIsolate)
	for _, kind := range []ledger.Kind{ledger.Removed, ledger.Restored, ledger.Dead, ledger.Cancelled, ledger.Pending} {
		m.pairs.WithLabelValues(outcomeOf(kind))
	}
	for _, reason := range tasks.Reasons() {
		m.deadPairs.WithLabelValues(string(reason))
	}
	return m
}

// IsWorker says that this process carries removals out. Others that count, as the intake does, have no such metric.
func (m *Metrics) IsWorker() {
	worker := prometheus.NewGauge(prometheus.GaugeOpts{Name: "unrole_worker", Help: "1 at a process that carries removals out."})
	worker.Set(1)
	m.registry.MustRegister(worker)
}

// Hooks counts the messages that HR systems sent to these adapters; what it returns counts one, with one of the results.
func (m *Metrics) Hooks(adapters, results []string) (count func(adapter, result string)) {
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "unrole_hook_messages_total",
		Help: "Messages of HR systems at this intake, by adapter and what came of them."}, []string{"adapter", "result"})
	m.registry.MustRegister(messages)
	for _, adapter := range adapters {
		for _, result := range results {
			messages.WithLabelValues(adapter, result)
		}
	}
	return func(adapter, result string) { messages.WithLabelValues(adapter, result).Inc() }
}

var throttleLimits = []dingtalk.Limit{dingtalk.LimitAPI, dingtalk.LimitGlobal, dingtalk.LimitOrg, dingtalk.LimitWide, dingtalk.LimitIPBan, dingtalk.LimitQuota}

func outcomeOf(kind ledger.Kind) string {
	if kind == ledger.Pending {
		return outcomeReopened
	}
	return string(kind)
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, ErrorHandling: promhttp.ContinueOnError})
}

// Call counts one exchange with DingTalk. One that the caller gave up is not counted.
func (m *Metrics) Call(c dingtalk.Call) {
	if c.Cancelled {
		return
	}
	m.calls.WithLabelValues(c.Op, c.Class.String()).Inc()
	m.codes.WithLabelValues(m.knownCodes.label(c.Code)).Inc()
	m.duration.WithLabelValues(c.Op).Observe(c.Duration.Seconds())
	if c.Class == dingtalk.ClassThrottled {
		m.throttles.WithLabelValues(c.Limit.String()).Inc()
	}
}

// Settled counts pairs by what became of them.
func (m *Metrics) Settled(kind ledger.Kind, reason tasks.Reason, pairs int) {
	m.pairs.WithLabelValues(outcomeOf(kind)).Add(float64(pairs))
	if kind == ledger.Dead {
		m.deadPairs.WithLabelValues(string(reason)).Add(float64(pairs))
	}
}

// Waited observes how long a batch waited for its slot.
func (m *Metrics) Waited(lane string, d time.Duration) {
	m.wait.WithLabelValues(lane).Observe(d.Seconds())
}

// Attempted counts removal calls.
func (m *Metrics) Attempted(isolating bool) {
	purpose := purposeRemove
	if isolating {
		purpose = purposeIsolate
	}
	m.removals.WithLabelValues(purpose).Inc()
}

const (
	otherCode = "other"
	noAnswer  = "no answer"
	// mostCodes bounds the series of a label whose values DingTalk chooses.
	mostCodes = 100
)

// codeSet bounds the label values that foreign answers can make.
type codeSet struct {
	mu    sync.Mutex
	known map[string]bool
}

func (s *codeSet) add(code string) {
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[code] = true
}

// label is the code, if it looks like one and there are not too many.
func (s *codeSet) label(code string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[code] {
		return code
	}
	if len(s.known) >= mostCodes || !looksLikeCode(code) {
		return otherCode
	}
	s.add(code)
	return code
}

// looksLikeCode accepts numbers, "http 502" and words such as "isp.remote-service-error".
func looksLikeCode(code string) bool {
	if _, err := strconv.Atoi(code); err == nil {
		return len(code) <= 10
	}
	if code == "" || len(code) > 40 {
		return false
	}
	for _, r := range code {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_' && r != ' ' {
			return false
		}
	}
	return code[0] >= 'a'
}
