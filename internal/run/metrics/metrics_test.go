package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/tasks"
)

// still is a fleet that holds, with something in each place.
func still() Fleet {
	now := time.Unix(1e9, 0)
	return Fleet{
		Queues: func(context.Context) ([]fleet.Queue, error) {
			return []fleet.Queue{{Name: "urgent", Pending: 2, Active: 3, Oldest: 7 * time.Second, Processed: 9},
				{Name: "default"}, {Name: "bulk", Paused: true}, {Name: "dead-letter", Scheduled: 4}}, nil
		},
		Pace: func(context.Context) (pace.Status, error) {
			return pace.Status{Now: now, Ceiling: 20, Rate: 19.5, Why: pace.AtCeiling, Granted: 5, Accepted: 4,
				Hold: &pace.Hold{HoldReason: pace.HoldReason{Kind: pace.HoldPermission}, Since: now.Add(-time.Minute)}}, nil
		},
		Adding: func(context.Context) (pace.Status, error) {
			return pace.Status{Now: now, Ceiling: 20, Rate: 10, Why: pace.Slowed, Granted: 3, Accepted: 2,
				Pause: &pace.Pause{Until: now.Add(30 * time.Second), Limit: pace.LimitAPI}}, nil
		},
		Jobs: func(context.Context) ([]ledger.Job, error) { return []ledger.Job{{State: ledger.StateRunning}}, nil },
		Redis: func(context.Context) ([]redisconn.Server, error) {
			return []redisconn.Server{{UsedMemory: 5, MaxMemory: 10, MemoryKnown: true}, {UsedMemory: 6, MaxMemory: 10, MemoryKnown: true}}, nil
		},
	}
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func expect(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
}

func TestEveryLabelValueIsThereFromTheStart(t *testing.T) {
	m := New("v1")
	m.WatchFleet(still())
	text := scrape(t, m)
	for _, class := range dingtalk.Classes() {
		expect(t, text, fmt.Sprintf(`unrole_calls_total{class=%q,op="topapi/role/removerolesforemps"} 0`, class))
	}
	for _, reason := range tasks.Reasons() {
		expect(t, text, fmt.Sprintf(`unrole_dead_letter_pairs_total{reason=%q} 0`, reason))
	}
	for _, outcome := range []string{"removed", "dead_letter", "cancelled", "reopened"} {
		expect(t, text, fmt.Sprintf(`unrole_pairs_total{outcome=%q} 0`, outcome))
	}
	for _, lane := range tasks.Lanes() {
		expect(t, text, fmt.Sprintf(`unrole_slot_wait_seconds_count{lane=%q} 0`, lane))
	}
	for _, kind := range pace.HoldKinds() {
		if kind != pace.HoldPermission {
			expect(t, text, fmt.Sprintf(`unrole_fleet_hold{reason=%q} 0`, kind))
		}
	}
}

func TestEventsAreCounted(t *testing.T) {
	m := New("v1")
	m.Call(dingtalk.Call{Op: "topapi/role/removerolesforemps", Class: dingtalk.ClassThrottled, Limit: dingtalk.LimitAPI, Code: "90018", Duration: time.Second})
	m.Call(dingtalk.Call{Op: "topapi/role/removerolesforemps", Cancelled: true})
	m.Settled(ledger.Removed, "", 5)
	m.Settled(ledger.Dead, tasks.ReasonUserGone, 3)
	m.Settled(ledger.Pending, "", 2)
	m.Waited("bulk", 20*time.Second)
	m.Attempted(true)
	m.Attempted(false)
	expect(t, scrape(t, m),
		`unrole_calls_total{class="throttled",op="topapi/role/removerolesforemps"} 1`,
		`unrole_calls_total{class="unknown",op="topapi/role/removerolesforemps"} 0`,
		`unrole_call_codes_total{code="90018"} 1`,
		`unrole_throttled_total{scope="api"} 1`,
		`unrole_pairs_total{outcome="removed"} 5`, `unrole_pairs_total{outcome="dead_letter"} 3`, `unrole_pairs_total{outcome="reopened"} 2`,
		`unrole_dead_letter_pairs_total{reason="user_gone"} 3`,
		`unrole_slot_wait_seconds_bucket{lane="bulk",le="30"} 1`, `unrole_slot_wait_seconds_bucket{lane="bulk",le="10"} 0`,
		`unrole_removal_calls_total{purpose="isolate"} 1`, `unrole_removal_calls_total{purpose="remove"} 1`)
}

func TestTheFleetIsShown(t *testing.T) {
	m := New("v1")
	m.WatchFleet(still())
	expect(t, scrape(t, m),
		`asynq_tasks_enqueued_total{queue="urgent",state="pending"} 2`, `asynq_tasks_enqueued_total{queue="dead-letter",state="scheduled"} 4`,
		`asynq_queue_size{queue="urgent"} 5`, `asynq_queue_latency_seconds{queue="urgent"} 7`, `asynq_queue_paused_total{queue="bulk"} 1`,
		`asynq_tasks_processed_total{queue="urgent"} 9`, `asynq_tasks_failed_total{queue="urgent"} 0`,
		`unrole_fleet_rate_calls_per_second 0`, `unrole_fleet_ceiling_calls_per_second 20`,
		`unrole_adding_rate_calls_per_second 0`, `unrole_adding_pause_seconds{scope="api"} 30`, `unrole_adding_hold{reason="permission"} 0`,
		`unrole_adding_outage 0`, `unrole_adding_granted_calls_total 3`, `unrole_adding_accepted_calls_total 2`,
		`unrole_fleet_hold{reason="permission"} 1`, `unrole_fleet_hold_seconds 60`, `unrole_fleet_outage 0`,
		`unrole_recent_jobs{state="running"} 1`, `unrole_recent_jobs{state="cancelled"} 0`,
		`unrole_redis_up 1`, `unrole_redis_memory_used_bytes 11`, `unrole_redis_memory_max_bytes 20`)
}

func TestRedisAwayIsShownAndTheRestStays(t *testing.T) {
	m := New("v1")
	f := still()
	f.Queues = func(context.Context) ([]fleet.Queue, error) { return nil, errors.New("away") }
	f.Pace = func(context.Context) (pace.Status, error) {
		t.Error("asked again although Redis is away")
		return pace.Status{}, nil
	}
	m.WatchFleet(f)
	text := scrape(t, m)
	expect(t, text, `unrole_redis_up 0`, `unrole_pairs_total{outcome="removed"} 0`)
	if strings.Contains(text, "unrole_fleet_hold") {
		t.Error("a state that nobody knows is shown")
	}
}

func TestScrapersDoNotMultiplyTheLoad(t *testing.T) {
	asked := 0
	f := still()
	queues := f.Queues
	f.Queues = func(ctx context.Context) ([]fleet.Queue, error) { asked++; return queues(ctx) }
	now := time.Unix(1e9, 0)
	c := &fleetCollector{fleet: f, now: func() time.Time { return now }}
	m := New("v1")
	m.registry.MustRegister(c)
	for range 3 {
		scrape(t, m)
	}
	now = now.Add(fleetAge)
	scrape(t, m)
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

func TestForeignCodesCannotGrowTheSeriesWithoutBound(t *testing.T) {
	m := New("v1")
	for i := range 1000 {
		m.Call(dingtalk.Call{Op: "gettoken", Code: fmt.Sprint(10000 + i)})
	}
	m.Call(dingtalk.Call{Op: "gettoken", Code: "user user100 is bad"})
	m.Call(dingtalk.Call{Op: "gettoken", Code: "用户"})
	if n := strings.Count(scrape(t, m), "\nunrole_call_codes_total{"); n > mostCodes {
		t.Errorf("%d series", n)
	}
}

// exposed are the names of all metrics, with those that a histogram has.
func exposed(t *testing.T) []string {
	m := New("v1")
	m.WatchFleet(still())
	m.IsWorker()
	var names []string
	for line := range strings.Lines(scrape(t, m)) {
		if !strings.HasPrefix(line, "#") {
			name := line[:strings.IndexAny(line, "{ ")]
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

var metricName = regexp.MustCompile(`\b(unrole|asynq|process|go)_[a-z0-9_]*[a-z0-9]`)

func TestDeployedRulesAndDashboardUseExposedNames(t *testing.T) {
	names := exposed(t)
	for _, file := range []string{"prometheus/alerts.yml", "grafana/unrole.json"} {
		data, err := os.ReadFile(filepath.Join("../../../deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		used := metricName.FindAllString(string(data), -1)
		if len(used) == 0 {
			t.Errorf("%s uses no metric", file)
		}
		for _, name := range used {
			if !slices.Contains(names, name) {
				t.Errorf("%s uses %s, which is not exposed", file, name)
			}
		}
	}
}

func TestEveryMetricAndAlertIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range exposed(t) {
		base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if (strings.HasPrefix(name, "unrole_") || strings.HasPrefix(name, "asynq_")) && !strings.Contains(string(doc), "`"+base) {
			t.Errorf("docs/metrics.md does not explain %s", base)
		}
	}
	operate, err := os.ReadFile("../../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, alert := range alerts(t) {
		if !strings.Contains(string(operate), "### "+alert+"\n") {
			t.Errorf("docs/operate.md does not say what to do about %s", alert)
		}
	}
}

func alerts(t *testing.T) []string {
	data, err := os.ReadFile("../../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
		}
	}
	if len(names) == 0 {
		t.Fatal("no alerts")
	}
	return names
}

func TestDashboardIsReadable(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/grafana/unrole.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 || seen[p.ID] {
			t.Errorf("panel %d %q: no title, no query, or its id twice", p.ID, p.Title)
		}
		seen[p.ID] = true
	}
}

func TestWhatIsNotKnownIsMissing(t *testing.T) {
	m := New("test")
	m.WatchFleet(Fleet{
		Queues: func(context.Context) ([]fleet.Queue, error) {
			return []fleet.Queue{{Name: "urgent", Active: 1, OldestUnknown: true, Memory: -1}, {Name: "bulk"}}, nil
		},
		// One node of two does not tell its limit, so the sum is not known.
		Redis: func(context.Context) ([]redisconn.Server, error) {
			return []redisconn.Server{{UsedMemory: 5, MaxMemory: 10, MemoryKnown: true}, {UsedMemory: 6}}, nil
		},
	})
	text := scrape(t, m)
	for name, want := range map[string]bool{
		`asynq_queue_latency_seconds{queue="urgent"}`: false, `asynq_queue_latency_seconds{queue="bulk"} 0`: true,
		`asynq_queue_memory_usage_approx_bytes{queue="urgent"}`: false, "\nunrole_redis_memory_max_bytes ": false, "\nunrole_redis_memory_used_bytes 11": true,
		"unrole_fleet_rate_calls_per_second ": false, "unrole_redis_up 1": true,
	} {
		if strings.Contains(text, name) != want {
			t.Errorf("%q is there: %v, want %v", name, !want, want)
		}
	}
}
