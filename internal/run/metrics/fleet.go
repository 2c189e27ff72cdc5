package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/fleet"
)

// Fleet is where the state of the fleet comes from, the same at every process of it. A nil source has no metrics.
type Fleet struct {
	Queues func(context.Context) ([]fleet.Queue, error)
	Pace   func(context.Context) (pace.Status, error)
	// Adding is the pace of the calls that give back, which is one of its own.
	Adding func(context.Context) (pace.Status, error)
	// Jobs are the most recent ones, at most RecentJobs.
	Jobs func(context.Context) ([]ledger.Job, error)
	// Redis are the nodes, with their memory.
	Redis func(context.Context) ([]redisconn.Server, error)
}

// RecentJobs is how many jobs are counted by state.
const RecentJobs = 500

const (
	// fleetAge is how old the shown state may be, so that several scrapers do not multiply the load on Redis.
	fleetAge = 5 * time.Second
	// fleetPatience bounds the reading for one scrape; Prometheus waits 10 s unless told otherwise.
	fleetPatience = 8 * time.Second
)

// WatchFleet adds the state of the fleet to the metrics; it is read when it is scraped, at most every 5 s. What cannot
// be read is left out, and unrole_redis_up is 0 then.
func (m *Metrics) WatchFleet(f Fleet) {
	m.registry.MustRegister(&fleetCollector{fleet: f, now: time.Now})
}

type fleetCollector struct {
	fleet Fleet
	now   func() time.Time

	mu      sync.Mutex
	readAt  time.Time
	metrics []prometheus.Metric
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The names that begin with asynq_ are those of asynq's own exporter, which asynqmon's charts ask Prometheus for; two
// of them are called total although they are no counters.
var (
	tasksDesc     = desc("asynq_tasks_enqueued_total", "Tasks in the queue now, by state.", "queue", "state")
	sizeDesc      = desc("asynq_queue_size", "Tasks in the queue now.", "queue")
	latencyDesc   = desc("asynq_queue_latency_seconds", "How long the task that waits the longest has waited; active tasks that wait for a slot count.", "queue")
	memoryDesc    = desc("asynq_queue_memory_usage_approx_bytes", "Estimated size of the queue in Redis.", "queue")
	processedDesc = desc("asynq_tasks_processed_total", "Runs of handlers, failed ones included.", "queue")
	failedDesc    = desc("asynq_tasks_failed_total", "Runs of handlers that ended with a crash or panic; a refused or busy call is none.", "queue")
	pausedDesc    = desc("asynq_queue_paused_total", "1 while the queue is paused by an operator.", "queue")

	rateDesc    = desc("unrole_fleet_rate_calls_per_second", "Calls per second that the fleet is granted now; 0 during a pause, hold or outage.")
	ceilingDesc = desc("unrole_fleet_ceiling_calls_per_second", "Configured ceiling of calls per second.")
	reasonDesc  = desc("unrole_fleet_rate_reason", "1 for what sets the rate.", "reason")
	pauseDesc   = desc("unrole_fleet_pause_seconds", "How much longer the fleet pauses, by whom DingTalk's limit concerns; 0 without a pause.", "scope")
	holdDesc    = desc("unrole_fleet_hold", "1 while the fleet holds for this reason.", "reason")
	heldDesc    = desc("unrole_fleet_hold_seconds", "How long the hold has lasted; 0 without one.")
	outageDesc  = desc("unrole_fleet_outage", "1 while DingTalk does not answer and is only probed.")
	grantedDesc = desc("unrole_fleet_granted_calls_total", "Slots given out to the whole fleet.")
	acceptDesc  = desc("unrole_fleet_accepted_calls_total", "Calls of the whole fleet that DingTalk took.")

	addingRateDesc    = desc("unrole_adding_rate_calls_per_second", "Calls per second that give back which the fleet is granted now; 0 during a pause, hold or outage.")
	addingPauseDesc   = desc("unrole_adding_pause_seconds", "How much longer the calls that give back pause, by whom DingTalk's limit concerns; 0 without a pause.", "scope")
	addingHoldDesc    = desc("unrole_adding_hold", "1 while the calls that give back are held for this reason.", "reason")
	addingOutageDesc  = desc("unrole_adding_outage", "1 while DingTalk does not answer calls that give back.")
	addingGrantedDesc = desc("unrole_adding_granted_calls_total", "Slots given out to calls of the whole fleet that give back.")
	addingAcceptDesc  = desc("unrole_adding_accepted_calls_total", "Calls of the whole fleet that give back and that DingTalk took.")

	jobsDesc = desc("unrole_recent_jobs", "The 500 most recent jobs by state.", "state")

	upDesc        = desc("unrole_redis_up", "1 if Redis answered.")
	usedDesc      = desc("unrole_redis_memory_used_bytes", "Memory that Redis uses, all nodes together.")
	maxMemoryDesc = desc("unrole_redis_memory_max_bytes", "maxmemory of Redis, all nodes together; 0 is no limit.")
)

var fleetDescs = []*prometheus.Desc{tasksDesc, sizeDesc, latencyDesc, memoryDesc, processedDesc, failedDesc, pausedDesc,
	rateDesc, ceilingDesc, reasonDesc, pauseDesc, holdDesc, heldDesc, outageDesc, grantedDesc, acceptDesc, jobsDesc, upDesc,
	usedDesc, maxMemoryDesc, addingRateDesc, addingPauseDesc, addingHoldDesc, addingOutageDesc, addingGrantedDesc, addingAcceptDesc}

func (c *fleetCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range fleetDescs {
		to <- d
	}
}

func (c *fleetCollector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.metrics == nil || now.Sub(c.readAt) >= fleetAge {
		ctx, cancel := context.WithTimeout(context.Background(), fleetPatience)
		c.metrics = c.read(ctx)
		c.readAt = c.now()
		cancel()
	}
	for _, m := range c.metrics {
		to <- m
	}
}

// reading collects the metrics of one look at the fleet.
type reading struct {
	metrics []prometheus.Metric
	failed  bool
}

func (r *reading) gauge(d *prometheus.Desc, v float64, labels ...string) {
	r.metrics = append(r.metrics, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
}

func (r *reading) counter(d *prometheus.Desc, v float64, labels ...string) {
	r.metrics = append(r.metrics, prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...))
}

// readInto reads one source; ok is false where there is none or it cannot be read.
func readInto[T any](ctx context.Context, r *reading, source func(context.Context) (T, error)) (v T, ok bool) {
	if source == nil || r.failed {
		return v, false
	}
	v, err := source(ctx)
	r.failed = err != nil
	return v, err == nil
}

func (c *fleetCollector) read(ctx context.Context) []prometheus.Metric {
	r := &reading{}
	if queues, ok := readInto(ctx, r, c.fleet.Queues); ok {
		for _, q := range queues {
			r.queue(q)
		}
	}
	if status, ok := readInto(ctx, r, c.fleet.Pace); ok {
		r.pace(status)
	}
	if status, ok := readInto(ctx, r, c.fleet.Adding); ok {
		r.adding(status)
	}
	if jobs, ok := readInto(ctx, r, c.fleet.Jobs); ok {
		r.jobs(jobs)
	}
	if servers, ok := readInto(ctx, r, c.fleet.Redis); ok {
		r.memory(servers)
	}
	r.gauge(upDesc, oneIf(!r.failed))
	return r.metrics
}

// memory leaves out what one of the nodes does not tell: a sum of the others would be wrong.
func (r *reading) memory(servers []redisconn.Server) {
	var used, most int64
	usedKnown, mostKnown := true, true
	for _, s := range servers {
		used += s.UsedMemory
		most += s.MaxMemory
		usedKnown, mostKnown = usedKnown && s.UsedMemory > 0, mostKnown && s.MemoryKnown
	}
	if usedKnown {
		r.gauge(usedDesc, float64(used))
	}
	if mostKnown {
		r.gauge(maxMemoryDesc, float64(most))
	}
}

func (r *reading) queue(q fleet.Queue) {
	states := []struct {
		name string
		n    int
	}{{"active", q.Active}, {"pending", q.Pending}, {"scheduled", q.Scheduled}, {"retry", q.Retry},
		{"archived", q.Archived}, {"completed", q.Completed}, {"aggregating", q.Aggregating}}
	for _, s := range states {
		r.gauge(tasksDesc, float64(s.n), q.Name, s.name)
	}
	r.gauge(sizeDesc, float64(q.Waiting()+q.Scheduled+q.Archived), q.Name)
	if !q.OldestUnknown {
		r.gauge(latencyDesc, q.Oldest.Seconds(), q.Name)
	}
	if q.Memory >= 0 {
		r.gauge(memoryDesc, float64(q.Memory), q.Name)
	}
	r.counter(processedDesc, float64(q.Processed), q.Name)
	r.counter(failedDesc, float64(q.Failed), q.Name)
	r.gauge(pausedDesc, oneIf(q.Paused), q.Name)
}

func (r *reading) pace(s pace.Status) {
	r.standing(s, rateDesc, pauseDesc, holdDesc)
	r.gauge(ceilingDesc, s.Ceiling)
	for _, why := range []pace.RateReason{pace.AtCeiling, pace.Slowed, pace.Testing} {
		r.gauge(reasonDesc, oneIf(s.Why == why), string(why))
	}
	held := 0.0
	if s.Hold != nil {
		held = max(s.Now.Sub(s.Hold.Since).Seconds(), 0)
	}
	r.gauge(heldDesc, held)
	r.gauge(outageDesc, oneIf(s.Outage != nil))
	r.counter(grantedDesc, float64(s.Granted))
	r.counter(acceptDesc, float64(s.Accepted))
}

func (r *reading) adding(s pace.Status) {
	r.standing(s, addingRateDesc, addingPauseDesc, addingHoldDesc)
	r.gauge(addingOutageDesc, oneIf(s.Outage != nil))
	r.counter(addingGrantedDesc, float64(s.Granted))
	r.counter(addingAcceptDesc, float64(s.Accepted))
}

// standing is how fast a pacer goes, and what keeps it from going.
func (r *reading) standing(s pace.Status, rateDesc, pauseDesc, holdDesc *prometheus.Desc) {
	rate := s.Rate
	if s.Pause != nil || s.Hold != nil || s.Outage != nil {
		rate = 0
	}
	r.gauge(rateDesc, rate)
	for _, limit := range pace.Limits() {
		left := 0.0
		if s.Pause != nil && s.Pause.Limit == limit {
			left = max(s.Pause.Until.Sub(s.Now).Seconds(), 0)
		}
		r.gauge(pauseDesc, left, string(limit))
	}
	for _, kind := range pace.HoldKinds() {
		r.gauge(holdDesc, oneIf(s.Hold != nil && s.Hold.Kind == kind), string(kind))
	}
}

func (r *reading) jobs(jobs []ledger.Job) {
	n := map[ledger.State]int{}
	for _, j := range jobs {
		n[j.State]++
	}
	for _, state := range ledger.States() {
		r.gauge(jobsDesc, float64(n[state]), string(state))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
