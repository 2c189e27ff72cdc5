package faults

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/procstat"
	"github.com/unrole/unrole/tasks"
)

// steadyPlan is a plan without any fault: one worker, and a job that takes 15 seconds.
func steadyPlan() plan {
	p := plan{seed: 1, workers: 1, qps: 20, protected: "nobody", bad: map[string]tasks.Reason{}}
	p.dingtalk = simulator.Options{Seed: 1, Latency: 20 * time.Millisecond}
	j := &job{id: "job-0", lane: tasks.QueueDefault, pairs: map[pair]bool{}}
	for i := range 300 {
		// Everybody loses a role of their own, so that each pair is a call of its own.
		j.pairs[pair{User: fmt.Sprintf("employee%03d", i), Role: 1507113500 + int64(i)}] = true
	}
	p.jobs = []*job{j}
	return p
}

// TestAnOutageOfRedisRepeatsNoFinishedCall takes Redis away for ten seconds in the middle of a job: nothing that was done
// is done again, nothing becomes a dead letter, and the worker waits quietly.
func TestAnOutageOfRedisRepeatsNoFinishedCall(t *testing.T) {
	t.Parallel()
	const outage = 10 * time.Second
	w := newWorld(t, steadyPlan())
	w.began = time.Now()
	j := w.plan.jobs[0]
	w.submit(j)
	k := w.keepWorker()
	w.workers = append(w.workers, k)
	for w.sim.Stats().Removals < 60 && w.wait(20*time.Millisecond) {
	}
	w.redis.Stop()
	before, unmeasured := k.usage()
	away := time.Now()
	w.wait(outage)
	after, _ := k.usage()
	calls := w.sim.Stats().Removals
	w.redis.Resume()
	if !w.end() {
		t.Fatal("it did not end by itself")
	}
	took := time.Since(away) - outage
	repeated := 0
	for p := range j.pairs {
		if w.sim.Called(p.User, p.Role) > 1 {
			repeated++
		}
	}
	record, _ := w.finished(j.id)
	t.Logf("%d calls before the outage, %d in all, done %.1fs after it; %d of %d pairs were called twice; cpu in the outage %.1f %% of one processor",
		calls, w.sim.Stats().Removals, took.Seconds(), repeated, len(j.pairs), 100*(after.CPU-before.CPU).Seconds()/outage.Seconds())
	if repeated > 0 || record.Pairs.Removed != int64(len(j.pairs)) {
		t.Errorf("%d pairs were called twice; the job counts %+v", repeated, record.Pairs)
	}
	if share := (after.CPU - before.CPU).Seconds() / outage.Seconds(); unmeasured == nil && share > 0.2 {
		t.Errorf("the worker used %.0f %% of a processor while Redis was away", 100*share)
	}
	w.mustEnd(k.retire())
	w.check()
}

func (k *keeper) usage() (procstat.Usage, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return procstat.Read(k.current.cmd.Process.Pid)
}

// TestAWorkerStaysFlat gives a worker small jobs for as long as -soak says, with faults of the network now and then, and
// compares what it holds at the end with what it held after a quarter of the time.
func TestAWorkerStaysFlat(t *testing.T) {
	t.Parallel()
	p := steadyPlan()
	p.qps, p.jobs, p.lasts = 200, nil, *soak
	p.dingtalk.Open = true
	p.dingtalk.Latency, p.dingtalk.KeepCalls = 2*time.Millisecond, 10
	w := newWorld(t, p)
	w.began = time.Now()
	dir := t.TempDir()
	worker, err := start(dir, append(w.env(w.proxy.url()), "UNROLE_ADMIN_LISTEN=127.0.0.1:0", "UNROLE_LOG_LEVEL=info"), "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = worker.cmd.Process.Kill(); <-worker.ended })
	address := w.adminOf(worker)

	feeding, stop := context.WithTimeout(w.ctx, *soak)
	defer stop()
	w.people.Go(func() {
		for i := 0; feeding.Err() == nil; i++ {
			w.feed(feeding, i)
			if i%20 == 19 {
				w.proxy.cut()
			}
		}
	})
	if !w.wait(*soak / 4) {
		t.Fatal("the world ended before a quarter of the time was over")
	}
	early := time.Since(w.began)
	first := w.held(worker, address)
	<-feeding.Done()
	w.people.Wait()
	if !w.wait(3 * time.Second) { // for what is in flight
		t.Fatal("the world ended before the time was over")
	}
	last := w.held(worker, address)
	t.Logf("%d calls; after %v: %v; after %v: %v", w.sim.Stats().Removals, early.Round(time.Second), first, time.Since(w.began).Round(time.Second), last)
	if last.goroutines > first.goroutines+50 || last.files > first.files+20 || last.rss > first.rss+first.rss/2+20<<20 {
		t.Errorf("it grows: %v, then %v", first, last)
	}
}

// feed submits a small job straight into Redis, as a producer of many does.
func (w *world) feed(ctx context.Context, i int) {
	s, err := run(ctx, w.env(w.redis.URL()), "enqueue", "--job-id", fmt.Sprint("soak-", i), "--yes", "--role", "1,2,3",
		"--user", fmt.Sprintf("a%d,b%d,c%d", i, i, i))
	if ctx.Err() == nil && (err != nil || s.code != 0) {
		w.Errorf("%v %v", err, s)
	}
}

// held is what a process holds.
type held struct {
	rss               int64
	goroutines, files int
}

func (h held) String() string {
	return fmt.Sprintf("%.1f MiB, %d goroutines, %d descriptors", float64(h.rss)/(1<<20), h.goroutines, h.files)
}

var servedAt = regexp.MustCompile(`"address":"([^"]+)"`)

// adminOf waits for the worker to say where its metrics are.
func (w *world) adminOf(p *process) string {
	for w.wait(50 * time.Millisecond) {
		if found := servedAt.FindSubmatch(p.output()); found != nil {
			return string(found[1])
		}
		if !p.alive() {
			w.Fatalf("the worker ended: %s", p.output())
		}
	}
	w.Fatal("the worker never said where its metrics are")
	return ""
}

func (w *world) held(p *process, address string) held {
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	h := held{files: p.files()}
	for line := range strings.Lines(string(body)) {
		if n, found := strings.CutPrefix(strings.TrimSpace(line), "go_goroutines "); found {
			h.goroutines, _ = strconv.Atoi(n)
		}
	}
	// Nothing where it is not known.
	used, _ := procstat.Read(p.cmd.Process.Pid)
	h.rss = used.Resident
	return h
}
