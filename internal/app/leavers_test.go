package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

func TestAWorkerWithARuleTakesTheRolesOfWhoLeavesToday(t *testing.T) {
	rdb := redistest.Start(t).Client()
	called := make(chan struct{}, 16)
	sim := simtest.Start(t, simulator.Options{Observe: func(c simulator.Call) {
		if len(c.Users) > 0 {
			called <- struct{}{}
		}
	}})
	lastDay := time.Now().Add(-24 * time.Hour)
	sim.AddPerson(simulator.Person{UserID: "ann", LastDay: lastDay})
	sim.AddPerson(simulator.Person{UserID: "li"})
	sim.Grant("ann", 7, 8)
	sim.Grant("li", 7)
	conf := enginetest.Config(sim)
	conf.LeaversFile = filepath.Join(t.TempDir(), "rule.yaml")
	if err := os.WriteFile(conf.LeaversFile, []byte("mode: automatic\ntime: \"00:00\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewInMemoryExporter()
	e, stop := enginetest.Start(t, conf, app.Parts{Redis: rdb, Leavers: true, Trace: trace.New(sdk.NewTracerProvider(sdk.WithSyncer(spans)))})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case <-called:
	case <-ctx.Done():
		t.Fatal("nothing is removed")
	}
	id := "leaver-" + lastDay.In(time.FixedZone("CST", 8*3600)).Format("20060102") + "-ann"
	job, err := e.Ledger.Watch(ctx, id, 10*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil || job.State != ledger.StateCompleted || job.Pairs.Removed != 2 || sim.Holds("ann", 7) || !sim.Holds("li", 7) {
		t.Errorf("%+v %v", job, err)
	}
	stop()
	leaver, call := of(spans.GetSpans(), "leaver"), of(spans.GetSpans(), "removerolesforemps")
	if len(leaver) != 1 || len(call) != 1 || call[0].SpanContext.TraceID() != leaver[0].SpanContext.TraceID() {
		t.Errorf("%d leavers and %d calls are traced, or not in one trace", len(leaver), len(call))
	}
}

func TestARuleThatCannotBeReadIsNamedBeforeAnythingStarts(t *testing.T) {
	_, rdb := redistest.Memory(t)
	conf := enginetest.Config(simtest.Start(t, simulator.Options{}))
	conf.LeaversFile = "/there/is/no/such/file"
	if _, err := app.New(conf, app.Parts{Redis: rdb, Leavers: true}); err == nil || !strings.Contains(err.Error(), "UNROLE_LEAVERS_FILE: ") {
		t.Errorf("%v", err)
	}
}
