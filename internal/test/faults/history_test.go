package faults

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/test/redistest"
)

// always are the stories that run every time: what only real processes, a real Redis and a real disk can show. The others
// have their like in package fleet, and take minutes, for leases that end.
var always = []string{"workers stopped", "redis restarted", "redis refuses writes", "disk full"}

// stories are short histories: one for each kind of fault, at moments that do not change.
var stories = map[string][]event{
	"quiet": nil,
	"workers stopped": {
		{at: 1 * time.Second, kind: "worker stopped", lasts: time.Second},
		{at: 2500 * time.Millisecond, kind: "worker stopped", pick: 1, lasts: 200 * time.Millisecond},
		{at: 4 * time.Second, kind: "worker stopped", pick: 2, lasts: 200 * time.Millisecond},
		{at: 5 * time.Second, kind: "submitted twice"},
	},
	"workers killed": {
		{at: 1500 * time.Millisecond, kind: "worker killed", lasts: time.Second},
		{at: 2 * time.Second, kind: "submission killed", pick: 140},
		{at: 5 * time.Second, kind: "worker killed", pick: 1, lasts: time.Second},
		{at: 6 * time.Second, kind: "submitted otherwise"},
	},
	"workers frozen": {
		{at: 1500 * time.Millisecond, kind: "worker frozen", lasts: 3 * time.Second},
		{at: 3 * time.Second, kind: "job cancelled", pick: 1},
	},
	"redis restarted": {
		{at: 1500 * time.Millisecond, kind: "redis restarted", lasts: 3 * time.Second},
		{at: 7 * time.Second, kind: "redis killed", lasts: time.Second},
	},
	"disk full":    {{at: 1 * time.Second, kind: "disk full", lasts: 3 * time.Second}},
	"redis frozen": {{at: 2 * time.Second, kind: "redis frozen", lasts: 6 * time.Second}},
	"redis refuses writes": {
		{at: 1500 * time.Millisecond, kind: "redis out of memory", lasts: 3 * time.Second},
		{at: 6 * time.Second, kind: "redis read-only", lasts: 3 * time.Second},
	},
	"network": {
		{at: 1 * time.Second, kind: "connections cut"},
		{at: 2 * time.Second, kind: "connections cut"},
		{at: 3 * time.Second, kind: "replies lost", lasts: 2 * time.Second},
		{at: 6 * time.Second, kind: "network stalled", lasts: 3 * time.Second},
	},
	"dingtalk": {
		{at: 1 * time.Second, kind: "dingtalk busy", lasts: time.Second},
		{at: 2500 * time.Millisecond, kind: "permission missing", lasts: 2 * time.Second},
		{at: 5 * time.Second, kind: "dingtalk unreachable", lasts: time.Second},
		{at: 7 * time.Second, kind: "dingtalk throttles", lasts: 500 * time.Millisecond},
		{at: 9 * time.Second, kind: "credentials refused", lasts: 2 * time.Second},
		{at: 11 * time.Second, kind: "token revoked"},
	},
	"people": {
		{at: 1 * time.Second, kind: "bad input submitted"},
		{at: 1500 * time.Millisecond, kind: "task deleted", pick: 1},
		{at: 2 * time.Second, kind: "job cancelled", pick: 1},
		{at: 2500 * time.Millisecond, kind: "task archived", pick: 1},
		{at: 3 * time.Second, kind: "job repaired for nought"},
		{at: 5 * time.Second, kind: "dead letter run", pick: 7},
		{at: 8 * time.Second, kind: "user mended and tried"},
		{at: 9 * time.Second, kind: "job cancelled"},
	},
}

func TestHistories(t *testing.T) {
	t.Parallel()
	for name, events := range stories {
		if !*long && !slices.Contains(always, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := planOf(uint64(len(name)))
			p.workers, p.events = 3, events
			play(t, p)
		})
	}
	for i := range uint64(*histories) {
		seed := *firstSeed + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			play(t, planOf(seed))
		})
	}
}

// step is something that happens at a moment of a history.
type step struct {
	at time.Duration
	do func()
}

// play plays a history and checks the promises.
func play(t *testing.T, p plan) {
	t.Logf("seed %d: %d workers, %d calls a second, %d jobs, %d bad users, busy %v", p.seed, p.workers, p.qps, len(p.jobs), len(p.bad), p.dingtalk.Busy)
	w := newWorld(t, p)
	var steps []step
	for _, j := range p.jobs {
		steps = append(steps, step{j.at, func() { w.people.Go(func() { w.submit(j) }) }})
	}
	for _, e := range p.events {
		k := kinds[e.kind]
		steps = append(steps, step{e.at, func() { w.note("%s", e); k.begin(w, e) }})
		if k.end != nil {
			steps = append(steps, step{e.at + e.lasts, func() { k.end(w, e); w.note("      %s is over", e.kind) }})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })

	w.began = time.Now()
	for range p.workers {
		w.workers = append(w.workers, w.keepWorker())
	}
	if slices.ContainsFunc(p.jobs, func(j *job) bool { return j.byIntake }) {
		address := "127.0.0.1:" + redistest.Port(t)
		w.intake = "http://" + address
		w.workers = append(w.workers, w.keep("api", "UNROLE_API_LISTEN="+address))
	}
	watched := w.watch()
	for _, s := range steps {
		if !w.wait(time.Until(w.began.Add(s.at))) {
			break
		}
		s.do()
	}
	w.heal()
	w.note("every fault is over")
	w.people.Wait()
	w.note("every command has ended")
	if !w.end() {
		t.Fatal("it did not end by itself")
	}
	w.note("everything is done")
	close(watched.stop)
	<-watched.done
	for _, k := range w.workers {
		w.mustEnd(k.retire())
	}
	w.check()
}

// heal ends every fault that a history has left behind.
func (w *world) heal() {
	w.proxy.heal()
	w.sim.Recover()
	w.rdb.ConfigSet(w.ctx, "maxmemory", "0")
	for _, k := range w.workers {
		k.signal(syscall.SIGCONT)
	}
}

// patience is how long after its last fault a history may take: what a killed worker had is given back by asynq after up
// to 113 s, tasks that somebody deleted are missed 60 to 90 s after a job's last change, and one may follow the other.
const patience = 5 * time.Minute

// end waits until every job has ended and no task is left but waiting dead letters.
func (w *world) end() bool {
	deadline := time.Now().Add(patience)
	for w.wait(250 * time.Millisecond) {
		left := w.left()
		if len(left) == 0 {
			return true
		}
		if time.Now().After(deadline) {
			w.Errorf("%v after the last fault this is left: %v", patience, left)
			for _, k := range w.workers {
				k.mu.Lock()
				w.Logf("a worker says last:\n%s", lastLines(k.current.output(), 15))
				k.mu.Unlock()
			}
			return false
		}
	}
	return false
}

// left says what is not done.
func (w *world) left() []string {
	var left []string
	for _, j := range w.plan.jobs {
		if job, ended := w.finished(j.id); !ended {
			left = append(left, fmt.Sprintf("%s is %s with %+v", j.id, job.State, job.Pairs))
		}
	}
	for _, queue := range queues() {
		info, err := w.inspector.GetQueueInfo(queue)
		if err != nil {
			continue // no such queue: nothing was ever in it
		}
		n := info.Pending + info.Active + info.Retry + info.Archived
		if n > 0 {
			left = append(left, fmt.Sprintf("queue %s: %d pending, %d active, %d to be retried, %d archived", queue, info.Pending, info.Active, info.Retry, info.Archived))
		}
	}
	return left
}

// watching looks at the jobs all the time.
type watching struct{ stop, done chan struct{} }

// watch checks at every moment that no job counts what it does not have, and that a pair that was removed stays so.
func (w *world) watch() watching {
	got := watching{make(chan struct{}), make(chan struct{})}
	go w.watchMachine(got.stop)
	removed := map[string]int64{}
	go func() {
		defer close(got.done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-got.stop:
				return
			case <-w.ctx.Done():
				return
			case <-tick.C:
			}
			for _, j := range w.plan.jobs {
				job, err := w.ledger.Get(w.ctx, j.id)
				if err != nil {
					continue
				}
				c := job.Pairs
				if c.Total != int64(len(j.pairs)) && !j.named || min(c.Removed, c.Dead, c.Cancelled, c.Pending) < 0 || c.Removed < removed[j.id] {
					w.Errorf("%s of %d pairs counts %+v, after %d removed", j.id, len(j.pairs), c, removed[j.id])
				}
				removed[j.id] = max(removed[j.id], c.Removed)
			}
		}
	}()
	return got
}

// watchMachine records when the machine was too busy to be on time: what was measured then says nothing about the pace.
func (w *world) watchMachine(stop <-chan struct{}) {
	const often, late = 10 * time.Millisecond, 60 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-stop:
			return
		case <-w.ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > late {
			w.mu.Lock()
			w.stalls = append(w.stalls, window{last, now})
			w.mu.Unlock()
		}
		last = now
	}
}
