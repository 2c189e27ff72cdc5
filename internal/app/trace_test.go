package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// traced is an intake and, once it is started, an engine whose spans are kept.
type traced struct {
	*testing.T
	rdb     *redis.Client
	handler http.Handler
	ledger  *ledger.Ledger
	spans   *tracetest.InMemoryExporter
	start   func() (stop func())
}

func newTraced(t *testing.T, sim *simtest.Server, qps float64) *traced {
	t.Helper()
	rdb := redistest.Start(t).Client()
	spans := tracetest.NewInMemoryExporter()
	with := app.Parts{Redis: rdb, Trace: trace.New(sdk.NewTracerProvider(sdk.WithSyncer(spans)))}
	conf := enginetest.Config(sim)
	conf.QPS = qps
	intake, err := app.NewIntake(conf, with, app.Admission{})
	if err != nil {
		t.Fatal(err)
	}
	return &traced{t, rdb, intake.Handler, ledger.New(rdb, 0), spans, func() func() {
		_, stop := enginetest.Start(t, conf, with)
		return stop
	}}
}

func (w *traced) post(body string, headers ...string) {
	w.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/removals", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if answer.Code != http.StatusAccepted {
		w.Fatalf("%d %s", answer.Code, answer.Body)
	}
}

func (w *traced) ends(jobID string) ledger.Job {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	job, err := w.ledger.Watch(ctx, jobID, 10*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil {
		w.Fatal(err)
	}
	return job
}

func of(spans tracetest.SpanStubs, name string) tracetest.SpanStubs {
	return slices.DeleteFunc(slices.Clone(spans), func(s tracetest.SpanStub) bool { return s.Name != name })
}

func value(s tracetest.SpanStub, key string) attribute.Value {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func TestATraceGoesFromTheRequestToTheCall(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for removal, want := range map[string]string{
		`{"user_ids":["manager4220"],"role_ids":[1507113578]}`:      "removerolesforemps < part < POST /v1/removals",
		`{"users":[{"mobile":"13812345678"}],"roles":[1507113578]}`: "removerolesforemps < part < look up < POST /v1/removals",
	} {
		sim := simtest.Start(t, simulator.Options{})
		sim.AddPerson(simulator.Person{UserID: "manager4220", Mobile: "13812345678", Name: "王芳"})
		sim.Grant("manager4220", 1507113578)
		w := newTraced(t, sim, 2000)
		stop := w.start()
		w.post(`{"job_id":"j","source":"hr","reason":"left","removals":[`+removal+`]}`, "traceparent", parent)
		if job := w.ends("j"); job.Pairs.Removed != 1 {
			t.Fatalf("%+v", job)
		}
		stop()
		spans := w.spans.GetSpans()
		request, call := of(spans, "POST /v1/removals"), of(spans, "removerolesforemps")
		if len(request) != 1 || len(call) != 1 || request[0].Parent.SpanID().String() != "00f067aa0ba902b7" {
			t.Fatalf("%d requests, %d calls of %d spans", len(request), len(call), len(spans))
		}
		by := map[oteltrace.SpanID]tracetest.SpanStub{}
		for _, s := range spans {
			by[s.SpanContext.SpanID()] = s
			if s.SpanContext.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" {
				t.Errorf("%s is in another trace", s.Name)
			}
		}
		var way []string
		for s, ok := call[0], true; ok; s, ok = by[s.Parent.SpanID()] {
			way = append(way, s.Name)
		}
		if got := strings.Join(way, " < "); got != want {
			t.Errorf("the way of the call: %s, want %s", got, want)
		}
		if value(call[0], "dingtalk.request_id").AsString() == "" || value(call[0], "unrole.outcome").AsString() != "accepted" {
			t.Errorf("the call's attributes: %v", call[0].Attributes)
		}
	}
}

func TestASharedCallIsLinkedWithEveryPartItServes(t *testing.T) {
	sim := simtest.Start(t, simulator.Options{Open: true})
	w := newTraced(t, sim, 5)
	for i := range 8 {
		w.post(fmt.Sprintf(`{"job_id":"j%d","source":"hr","reason":"left","removals":[{"user_ids":["u%d"],"role_ids":[7]}]}`, i, i))
	}
	stop := w.start()
	for i := range 8 {
		w.ends(fmt.Sprintf("j%d", i))
	}
	stop()
	spans := w.spans.GetSpans()
	shared := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return value(s, "unrole.serves").AsInt64() >= 2 })
	if shared < 0 {
		t.Fatal("no call serves two jobs")
	}
	call := spans[shared]
	traces := map[oteltrace.TraceID]bool{}
	for _, l := range call.Links {
		traces[l.SpanContext.TraceID()] = true
	}
	if len(traces) != len(call.Links) || int64(len(traces)) != value(call, "unrole.serves").AsInt64() {
		t.Errorf("it serves %v, and is linked with %d parts in %d traces", value(call, "unrole.serves").AsInt64(), len(call.Links), len(traces))
	}
	back := 0
	for _, part := range of(spans, "part") {
		for _, l := range part.Links {
			if l.SpanContext.SpanID() == call.SpanContext.SpanID() {
				back++
			}
		}
	}
	if back != len(call.Links) {
		t.Errorf("%d of its %d parts lead to it", back, len(call.Links))
	}
}

func TestNoSpanTellsWhoIsMeant(t *testing.T) {
	sim := simtest.Start(t, simulator.Options{Open: true, BadUsers: []string{"secretbad1"}, GoneUsers: []string{"secretgone1"}, BadRoles: []int64{987654321}, Busy: 0.2})
	sim.AddPerson(simulator.Person{UserID: "secretmanager", Mobile: "13812345678", Name: "王芳", JobNumber: "job0042"})
	sim.Grant("secretmanager", 1507113578)
	w := newTraced(t, sim, 2000)
	stop := w.start()
	jobs := map[string]string{
		"leaver-secretone": `{"user_ids":["secretone","secretbad1","secretgone1"],"role_ids":[987654321,1507113578]}`,
		"secretjob":        `{"users":[{"mobile":"13812345678","name":"王芳"},{"job_number":"job0042"}],"all_roles":true}`,
		"secretlost":       `{"users":[{"name":"李雷"}],"roles":["secretrole"]}`,
	}
	for id, removal := range jobs {
		w.post(fmt.Sprintf(`{"job_id":%q,"source":"secretsource","reason":"secretreason","removals":[%s]}`, id, removal))
	}
	for id := range jobs {
		w.ends(id)
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/v1/removals/"+id+"/report?user_id=secretquery", nil)
		w.handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	stop()
	spans := w.spans.GetSpans()
	if len(of(spans, "part")) == 0 || len(of(spans, "removerolesforemps")) == 0 || len(of(spans, "look up")) == 0 || len(of(spans, "GET /v1/removals/{job_id}/report")) != len(jobs) {
		t.Errorf("there are too few spans: %d", len(spans))
	}
	for _, s := range spans {
		all, err := json.Marshal([]any{s.Name, s.Attributes, s.Events, s.Links, s.Status, s.Resource})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"secret", "13812345678", "王芳", "李雷", "job0042", "1507113578", "987654321"} {
			if strings.Contains(string(all), id) {
				t.Errorf("a span tells %s: %s", id, all)
			}
		}
	}
}
