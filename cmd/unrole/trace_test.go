package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// received is what a collector was sent.
type received struct {
	mu    sync.Mutex
	raw   bytes.Buffer
	spans []*otlp.Span
}

func (c *received) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var sent collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &sent)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(r.URL.Path, " ", err), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

func (c *received) named(name string) (of []*otlp.Span) {
	for _, s := range c.spans {
		if s.Name == name {
			of = append(of, s)
		}
	}
	return of
}

func attributeOf(s *otlp.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return strings.Trim(a.Value.String(), `"`)
		}
	}
	return ""
}

// process starts the command, and returns what ends it in order.
func process(t *testing.T, env []string, out io.Writer, args ...string) (end func()) {
	t.Helper()
	cmd := exec.Command("unrole", args...)
	cmd.Env = append(os.Environ(), env...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return func() {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || strings.Contains(log.String(), "traces are lost") {
			t.Errorf("unrole %s: %v\n%s", args[0], err, &log)
		}
	}
}

// The processes are those of a fleet, and what they send is read as a collector does.
func TestWhatACollectorGetsLeadsFromEachRequestToTheCallThatItShares(t *testing.T) {
	const people = 4
	var got received
	otel := httptest.NewServer(&got)
	defer otel.Close()
	sim := simtest.Start(t, simulator.Options{Open: true})
	server := redistest.Start(t)
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otel.URL, "REDIS_URL=" + server.URL(), "DINGTALK_BASE_URL=" + sim.URL, "DINGTALK_APP_KEY=" + sim.AppKey,
		"DINGTALK_APP_SECRET=" + sim.AppSecret}

	out, in := io.Pipe()
	endAPI := process(t, env, in, "api", "--api-listen", "127.0.0.1:0", "--output", "json")
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ready apiReady
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	for i := range people {
		resp, err := http.Post(ready.URL+"/v1/removals", "application/json", strings.NewReader(fmt.Sprintf(
			`{"job_id":"leaver-secret%d","source":"hr","reason":"secret","removals":[{"user_ids":["secret%d"],"role_ids":[1507113578]}]}`, i, i)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Fatal(resp.Status)
		}
	}
	endWorker := process(t, env, nil, "worker")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range people {
		job, err := ledger.New(server.Client(), 0).Watch(ctx, fmt.Sprintf("leaver-secret%d", i), 10*time.Millisecond, func(ledger.Job, error) error { return nil })
		if err != nil || job.Pairs.Removed != 1 {
			t.Fatalf("%+v %v", job, err)
		}
	}
	endWorker()
	endAPI()

	requests, parts, calls := got.named("POST /v1/removals"), got.named("part"), got.named("removerolesforemps")
	if len(requests) != people || len(parts) < people || len(calls) == 0 {
		t.Fatalf("%d requests, %d parts, %d calls", len(requests), len(parts), len(calls))
	}
	id := func(trace, span []byte) string { return hex.EncodeToString(trace) + "-" + hex.EncodeToString(span) }
	asked, at, served := map[string]bool{}, map[string]*otlp.Span{}, map[string]bool{}
	for _, s := range requests {
		asked[id(s.TraceId, s.SpanId)] = true
	}
	for _, s := range parts {
		at[id(s.TraceId, s.SpanId)] = s
		if !asked[id(s.TraceId, s.ParentSpanId)] {
			t.Errorf("a part is not of a request: %v", s)
		}
	}
	for _, s := range calls {
		if attributeOf(s, "dingtalk.request_id") == "" || at[id(s.TraceId, s.ParentSpanId)] == nil {
			t.Errorf("a call has no request id, or is of no part: %v", s)
		}
		for _, l := range s.Links {
			if at[id(l.TraceId, l.SpanId)] == nil {
				t.Errorf("a link leads nowhere: %v", l)
			}
			served[hex.EncodeToString(l.TraceId)] = true
		}
	}
	if len(served) != people || len(calls) >= people {
		t.Errorf("%d calls are linked with %d of %d traces, and share nothing", len(calls), len(served), people)
	}
	for _, secret := range []string{"secret", "1507113578", sim.AppSecret} {
		if bytes.Contains(got.raw.Bytes(), []byte(secret)) {
			t.Errorf("the collector is told %q", secret)
		}
	}
}
