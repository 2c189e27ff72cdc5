package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// world is where one history takes place.
type world struct {
	*testing.T
	plan      plan
	dir       string
	sim       *simulator.Server
	redis     *redistest.Server
	proxy     *proxy
	rdb       *redis.Client // past the proxy: what Redis says is not to be doubted
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	began     time.Time

	people  sync.WaitGroup // commands that people run, and whatever else is under way
	ctx     context.Context
	workers []*keeper

	mu         sync.Mutex
	submitted  map[string]chan struct{}
	cancelled  map[string]time.Time // when the cancel was done
	tampered   bool                 // a person archived tasks
	mended     map[string]bool      // users whom DingTalk accepts since some moment
	transcript strings.Builder      // what commands said
	faulty     []window             // when a worker or its way to Redis was disturbed
	stalls     []window             // when the machine was late
}

type window struct{ from, to time.Time }

func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	w := &world{T: t, plan: p, dir: t.TempDir(), submitted: map[string]chan struct{}{}, cancelled: map[string]time.Time{},
		mended: map[string]bool{}}
	w.sim = simulator.Start(t, p.dingtalk)
	w.redis = redistest.Start(t, p.redis...)
	w.proxy = startProxy(t, w.redis.Addr, p.seed)
	w.rdb = w.redis.Client()
	w.ledger = ledger.New(w.rdb, 0)
	w.inspector = asynq.NewInspectorFromRedisClient(w.rdb)
	for _, j := range p.jobs {
		w.submitted[j.id] = make(chan struct{})
		for pr := range j.pairs {
			w.sim.Grant(pr.User, pr.Role)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute+p.lasts)
	w.ctx = ctx
	t.Cleanup(func() {
		cancel()
		for _, k := range w.workers {
			k.end()
		}
		w.people.Wait()
	})
	return w
}

// env is the environment of the commands, which reach Redis by the given URL.
func (w *world) env(redisURL string) []string {
	return append(environment(w.dir, redisURL, w.sim), fmt.Sprint("UNROLE_QPS=", w.plan.qps), "UNROLE_HOLD_PROBE=1s")
}

// auditFile is where the workers copy the audit trails to.
func (w *world) auditFile() string { return filepath.Join(w.dir, "audit.jsonl") }

// fillDisk puts a device that is always full in the place of the audit file, and clearDisk puts the file back. At no moment
// is there neither.
func (w *world) fillDisk() {
	file, err := os.OpenFile(w.auditFile(), os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		err = file.Close()
	}
	full := w.auditFile() + ".full"
	if err := errors.Join(err, os.Link(w.auditFile(), w.auditFile()+".kept"), os.Symlink("/dev/full", full), os.Rename(full, w.auditFile())); err != nil {
		w.Errorf("fill the disk: %v", err)
	}
}

func (w *world) clearDisk() {
	if err := os.Rename(w.auditFile()+".kept", w.auditFile()); err != nil {
		w.Errorf("clear the disk: %v", err)
	}
}

// note writes a line of the history.
func (w *world) note(format string, args ...any) {
	w.Logf("%5.1fs "+format, append([]any{time.Since(w.began).Seconds()}, args...)...)
}

// wait waits for d, or reports false when the history ends before.
func (w *world) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.ctx.Done():
		return false
	}
}

// command runs a command as a person does, who runs it again while it ends with 1. done says whether an ending is as
// it should be.
func (w *world) command(redisURL string, done func(said) bool, args ...string) bool {
	for range 60 {
		ctx, cancel := context.WithTimeout(w.ctx, 90*time.Second)
		s, err := run(ctx, w.env(redisURL), args...)
		cancel()
		if w.ctx.Err() != nil {
			return false
		}
		if err != nil {
			w.Errorf("%v", err)
			return false
		}
		w.mu.Lock()
		w.transcript.WriteString(s.String())
		w.mu.Unlock()
		switch {
		case done(s):
			return true
		case s.code != 1:
			w.Errorf("unrole %s: %v", strings.Join(args, " "), s)
			return false
		}
		if !w.wait(500 * time.Millisecond) {
			return false
		}
	}
	w.Errorf("unrole %s never succeeded", strings.Join(args, " "))
	return false
}

func succeeded(s said) bool { return s.code == 0 }

// submit submits a job through the network with faults, again until it succeeded.
func (w *world) submit(j *job) {
	rows := []string{"user_id,role_id"}
	for _, p := range j.sorted() {
		rows = append(rows, fmt.Sprintf("%s,%d", p.User, p.Role))
	}
	file := filepath.Join(w.dir, j.id+".csv")
	if err := os.WriteFile(file, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		w.Error(err)
		return
	}
	if w.command(w.proxy.url(), succeeded, w.submission(j)...) {
		w.note("%s is submitted: %d pairs, lane %s", j.id, len(j.pairs), j.lane)
		close(w.submitted[j.id])
	}
}

func (w *world) submission(j *job) []string {
	return []string{"enqueue", filepath.Join(w.dir, j.id+".csv"), "--job-id", j.id, "--priority", j.lane, "--yes", "--source", "faults"}
}

// whenSubmitted runs do, in the background, once the job is submitted.
func (w *world) whenSubmitted(pick uint64, do func(j *job)) {
	j := w.plan.jobs[pick%uint64(len(w.plan.jobs))]
	w.people.Go(func() {
		select {
		case <-w.submitted[j.id]:
			do(j)
		case <-w.ctx.Done():
		}
	})
}

// disturbed records that from now on, and for d, a worker cannot be expected to know or do anything in time.
func (w *world) disturbed(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faulty = append(w.faulty, window{time.Now(), time.Now().Add(d)})
}

// keeper keeps one worker running, as a supervisor of services does.
type keeper struct {
	world *world
	wake  chan struct{}

	mu       sync.Mutex
	current  *process
	all      []*process
	expected bool // the end of the current process was asked for
	away     time.Duration
	over     bool
	done     chan struct{}
}

func (w *world) keepWorker() *keeper {
	k := &keeper{world: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go k.run()
	return k
}

func (k *keeper) run() {
	defer close(k.done)
	for {
		k.mu.Lock()
		if k.over {
			k.mu.Unlock()
			return
		}
		p, err := start(k.world.dir, append(k.world.env(k.world.proxy.url()), "UNROLE_PROTECTED_USERS="+k.world.plan.protected,
			"UNROLE_AUDIT_FILE="+k.world.auditFile()), "worker")
		if err != nil {
			k.mu.Unlock()
			k.world.Errorf("start a worker: %v", err)
			return
		}
		k.current, k.expected = p, false
		k.all = append(k.all, p)
		k.mu.Unlock()
		<-p.ended
		k.mu.Lock()
		// A worker that Redis does not let start ends, and is started again; one that works goes on whatever happens.
		if !k.expected && strings.Contains(string(p.output()), "worker started") {
			k.world.Errorf("a worker ended by itself: %v\n%s", p.err, lastLines(p.output(), 20))
		}
		rest := max(k.away, 200*time.Millisecond)
		k.away = 0
		over := k.over
		k.mu.Unlock()
		if over {
			return
		}
		timer := time.NewTimer(rest)
		select {
		case <-timer.C:
		case <-k.wake:
			timer.Stop()
		}
	}
}

// kill ends the worker by SIGKILL, stop by asking it to; another one follows after the given time.
func (k *keeper) kill(away time.Duration) *process {
	return k.leave(away, func(p *process) { p.signal(syscall.SIGKILL) })
}

func (k *keeper) stop(away time.Duration) *process { return k.leave(away, (*process).askToEnd) }

func (k *keeper) leave(away time.Duration, how func(*process)) *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expected, k.away = true, away
	how(k.current)
	return k.current
}

func (k *keeper) signal(s syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current.signal(s)
}

// retire ends the worker for good, cleanly, and returns how.
func (k *keeper) retire() *process {
	k.mu.Lock()
	k.over, k.expected = true, true
	p := k.current
	k.mu.Unlock()
	p.askToEnd()
	select {
	case k.wake <- struct{}{}:
	default:
	}
	p.endsWithin(shutdown)
	return p
}

// end ends whatever is left, at once.
func (k *keeper) end() {
	k.mu.Lock()
	k.over, k.expected = true, true
	p := k.current
	k.mu.Unlock()
	if p != nil {
		p.signal(syscall.SIGKILL)
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
	<-k.done
}

// shutdown is the longest that a worker may take to end on SIGTERM: it grants 15 s to what is in flight, and a frozen
// Redis may take a few more.
const shutdown = 30 * time.Second

func lastLines(b []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// queues are the lanes and the queue of the dead letters.
func queues() []string { return append(tasks.Lanes(), tasks.QueueDeadLetter) }

// someTask picks a task of the queue in one of the states.
func (w *world) someTask(queue string, pick uint64, states ...func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error)) *asynq.TaskInfo {
	var all []*asynq.TaskInfo
	for _, list := range states {
		found, err := list(queue, asynq.PageSize(500))
		if err == nil {
			all = append(all, found...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[rand.New(rand.NewPCG(pick, 3)).IntN(len(all))]
}
