package app_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

func TestAScheduledRemovalStartsAtItsTimeAlsoWhenEverythingWasRestarted(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "always") // with everysec, a Redis that is killed may lose what it acknowledged
	rdb := server.Client()
	sim := simtest.Start(t, simulator.Options{Open: true})
	intake, err := app.NewIntake(enginetest.Config(sim), app.Parts{Redis: rdb}, app.Admission{})
	if err != nil {
		t.Fatal(err)
	}
	_, stop := enginetest.Start(t, enginetest.Config(sim), app.Parts{Redis: rdb})
	at := time.Now().Add(3 * time.Second).Truncate(time.Second)
	request := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/removals", strings.NewReader(fmt.Sprintf(
		`{"job_id":"scheduled","at":%q,"source":"hr","reason":"left","removals":[{"user_ids":["a"],"role_ids":[1507113578]}]}`, at.Format(time.RFC3339))))
	request.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	intake.Handler.ServeHTTP(answer, request)
	if answer.Code != http.StatusAccepted || !strings.Contains(answer.Body.String(), `"state":"scheduled"`) {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	stop()
	server.Kill()
	server.Resume()
	enginetest.Start(t, enginetest.Config(sim), app.Parts{Redis: rdb})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	job, err := ledger.New(rdb, 0).Watch(ctx, "scheduled", 20*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil || job.State != ledger.StateCompleted {
		t.Fatalf("%+v %v", job, err)
	}
	if late := job.FinishedAt.Sub(at); late < 0 || late > 10*time.Second {
		t.Errorf("it was removed %s after its time", late)
	}
}

func TestAWrongConfigurationIsNamedBeforeAnythingStarts(t *testing.T) {
	_, rdb := redistest.Memory(t)
	sim := simtest.Start(t, simulator.Options{})
	for name, c := range map[string]func(*config.Config){
		"protected users":       func(c *config.Config) { c.ProtectedUsers = "@/there/is/no/such/file" },
		"app secret":            func(c *config.Config) { c.DingTalk.AppSecret = "" },
		"UNROLE_WEBHOOK_SECRET": func(c *config.Config) { c.WebhookURL = "https://hr.example/ended" },
	} {
		conf := enginetest.Config(sim)
		c(conf)
		_, err := app.New(conf, app.Parts{Redis: rdb})
		if _, is := err.(*app.Fault); !is || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
