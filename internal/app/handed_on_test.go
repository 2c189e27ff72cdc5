package app_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hibiken/asynq"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

// submits submits the removal of role 7 from a user in a trace of its own, which it returns.
func (w *traced) submits(s enqueue.Submission, user string) oteltrace.TraceID {
	w.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: w.rdb})
	if err != nil {
		w.Fatal(err)
	}
	if s.Removals, err = enqueue.FromLists([]string{user}, []int64{7}); err != nil {
		w.Fatal(err)
	}
	ctx, span := trace.New(sdk.NewTracerProvider(sdk.WithSyncer(w.spans))).Command(w.Context(), "test")
	defer span.End(false)
	if _, err := client.Submit(ctx, s); err != nil {
		w.Fatal(err)
	}
	return oteltrace.SpanContextFromContext(ctx).TraceID()
}

// repaired enqueues what a job has no task for.
func (w *traced) repaired(job ledger.Job) {
	w.Helper()
	if n, err := producer.Repair(w.Context(), w.ledger, w.rdb, asynq.NewClientFromRedisClient(w.rdb), job); n != 1 || err != nil {
		w.Fatalf("%d parts were enqueued: %v", n, err)
	}
}

// outcomes are those of the calls of a trace.
func outcomes(spans tracetest.SpanStubs, id oteltrace.TraceID) (all string) {
	for _, s := range of(spans, "removerolesforemps") {
		if s.SpanContext.TraceID() == id {
			all += " " + value(s, "unrole.outcome").AsString()
		}
	}
	return strings.TrimSpace(all)
}

func TestATraceGoesOnThroughWhatAJobHasToWaitFor(t *testing.T) {
	sim := simtest.Start(t, simulator.Options{Open: true, GoneUsers: []string{"gone"}})
	w := newTraced(t, sim, 2000)
	inspector := asynq.NewInspectorFromRedisClient(w.rdb)
	want := map[string]oteltrace.TraceID{}

	want["approved"] = w.submits(enqueue.Submission{JobID: "approved", SubmittedBy: "li", AwaitApproval: true}, "ann")
	job, err := w.ledger.Approve(t.Context(), "approved", "wang", "")
	if err != nil {
		t.Fatal(err)
	}
	w.repaired(job)
	want["lost"] = w.submits(enqueue.Submission{JobID: "lost"}, "bob")
	if err := inspector.DeleteTask(tasks.QueueDefault, "lost:0"); err != nil {
		t.Fatal(err)
	}
	if job, err = w.ledger.Get(t.Context(), "lost"); err != nil {
		t.Fatal(err)
	}
	w.repaired(job)
	stop := w.start()
	w.ends("approved")
	w.ends("lost")
	want["letter"] = w.submits(enqueue.Submission{JobID: "letter"}, "gone")
	if job = w.ends("letter"); job.Pairs.Dead != 1 {
		t.Fatalf("%+v", job)
	}
	sim.SetUser(simulator.Accepted, "gone")
	letters := deadletter.New(w.rdb, w.ledger)
	chosen, err := letters.Select(t.Context(), deadletter.Filter{JobIDs: []string{"letter"}})
	if err != nil {
		t.Fatal(err)
	}
	if did, err := letters.Replay(t.Context(), chosen, deadletter.Order{By: "li"}); err != nil || did.Letters != 1 {
		t.Fatalf("%+v %v", did, err)
	}
	if err := letters.Wait(t.Context(), chosen, 1e7, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if job = w.ends("letter"); job.Pairs.Removed != 1 {
		t.Fatalf("%+v", job)
	}
	stop()

	spans := w.spans.GetSpans()
	traces := map[oteltrace.TraceID]bool{}
	for _, s := range spans {
		traces[s.SpanContext.TraceID()] = true
	}
	for id, is := range want {
		if !slices.ContainsFunc(of(spans, "part"), func(s tracetest.SpanStub) bool { return s.SpanContext.TraceID() == is }) {
			t.Errorf("the task of job %s is not in its trace", id)
		}
	}
	if got := outcomes(spans, want["letter"]); got != "refused accepted" {
		t.Errorf("the calls in the trace of the dead letter: %s", got)
	}
	if len(traces) != len(want) {
		t.Errorf("%d traces for %d jobs", len(traces), len(want))
	}
}

func TestARestoreOverHTTPIsATraceToTheCallThatGivesBack(t *testing.T) {
	sim := simtest.Start(t, simulator.Options{})
	sim.AddPerson(simulator.Person{UserID: "ann", Mobile: "13812345678"})
	sim.Grant("ann", 7)
	w := newTraced(t, sim, 2000)
	stop := w.start()
	w.post(`{"job_id":"wrong","source":"hr","reason":"left","removals":[{"users":[{"mobile":"13812345678"}],"roles":[7]}]}`)
	w.ends("wrong")
	w.spans.Reset()
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/removals/wrong/restore", strings.NewReader(`{"job_id":"undo","reason":"wrong list"}`))
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	if answer.Code != http.StatusAccepted {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	if job := w.ends("undo"); job.Pairs.Restored != 1 {
		t.Fatalf("%+v", job)
	}
	stop()
	spans := w.spans.GetSpans()
	request, call := of(spans, "POST /v1/removals/{job_id}/restore"), of(spans, "addrolesforemps")
	if len(request) != 1 || len(call) != 1 || request[0].SpanContext.TraceID() != call[0].SpanContext.TraceID() {
		t.Errorf("%d requests and %d calls of %d spans, or not in one trace", len(request), len(call), len(spans))
	}
}
