package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
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
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

// world is where one history takes place.
type world struct {
	*testing.T
	plan      plan
	dir       string
	sim       *simtest.Server
	redis     *redistest.Server
	proxy     *proxy
	rdb       *redis.Client // past the proxy: what Redis says is not to be doubted
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	began     time.Time

	people  sync.WaitGroup // commands that people run, and whatever else is under way
	ctx     context.Context
	workers []*keeper // and the intake, if there is one
	intake  string    // its address

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
	w.sim = simtest.Start(t, p.dingtalk)
	w.redis = redistest.Start(t, p.redis...)
	w.proxy = startProxy(t, w.redis.Addr, p.seed)
	w.rdb = w.redis.Client()
	w.ledger = ledger.New(w.rdb, 0)
	w.inspector = asynq.NewInspectorFromRedisClient(w.rdb)
	for _, j := range p.jobs {
		w.submitted[j.id] = make(chan struct{})
		for pr := range j.pairs {
			if j.named {
				w.sim.AddPerson(simulator.Person{UserID: pr.User, Name: pr.User, Mobile: mobileOf(pr.User)})
			}
			w.sim.Grant(pr.User, pr.Role)
		}
	}
	for _, role := range desk {
		w.sim.AddRole(role.id, role.name, "desk")
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
	if j.byIntake {
		w.post(j)
		return
	}
	rows := []string{"user_id,role_id"}
	if j.named {
		rows[0] = "mobile,role"
	}
	for _, p := range j.sorted() {
		if j.named {
			rows = append(rows, fmt.Sprintf("%s,desk/%s", mobileOf(p.User), nameOf(p.Role)))
			continue
		}
		rows = append(rows, fmt.Sprintf("%s,%d", p.User, p.Role))
	}
	file := filepath.Join(w.dir, j.id+".csv")
	if err := os.WriteFile(file, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		w.Error(err)
		return
	}
	refused := false // by DingTalk, when it is asked who is meant
	done := func(s said) bool {
		refused = j.named && s.code == 4
		return s.code == 0 || refused
	}
	for w.command(w.proxy.url(), done, w.submission(j)...) {
		if refused {
			w.wait(time.Second)
			continue
		}
		w.note("%s is submitted: %d pairs, lane %s", j.id, len(j.pairs), j.lane)
		close(w.submitted[j.id])
		return
	}
}

// post posts a job in which nobody is named by their id, again until the intake has taken it.
func (w *world) post(j *job) {
	var removals []map[string]any
	for _, p := range j.sorted() {
		removals = append(removals, map[string]any{"users": []any{map[string]string{"mobile": mobileOf(p.User)}}, "roles": []string{"desk/" + nameOf(p.Role)}})
	}
	body, err := json.Marshal(map[string]any{"job_id": j.id, "source": "faults", "reason": "left", "priority": j.lane, "removals": removals})
	if err != nil {
		w.Error(err)
		return
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for {
		answer, err := client.Post(w.intake+"/v1/removals", "application/json", bytes.NewReader(body))
		if err == nil {
			said, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			switch answer.StatusCode / 100 {
			case 2:
				w.note("%s is taken by the intake", j.id)
				close(w.submitted[j.id])
				return
			case 4:
				w.Errorf("%s is answered %s: %s", j.id, answer.Status, said)
				return
			}
		}
		if !w.wait(200 * time.Millisecond) {
			return
		}
	}
}

func nameOf(role int64) string { return desk[role-desk[0].id].name }

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

// keeper keeps one service running, a worker usually, as a supervisor does.
type keeper struct {
	world   *world
	service string   // the command
	env     []string // of its own
	wake    chan struct{}

	mu       sync.Mutex
	current  *process
	all      []*process
	expected bool // the end of the current process was asked for
	away     time.Duration
	over     bool
	done     chan struct{}
}

func (w *world) keepWorker() *keeper {
	return w.keep("worker", "UNROLE_PROTECTED_USERS="+w.plan.protected, "UNROLE_AUDIT_FILE="+w.auditFile())
}

func (w *world) keep(service string, env ...string) *keeper {
	k := &keeper{world: w, service: service, env: env, wake: make(chan struct{}, 1), done: make(chan struct{})}
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
		p, err := start(k.world.dir, append(k.world.env(k.world.proxy.url()), k.env...), k.service)
		if err != nil {
			k.mu.Unlock()
			k.world.Errorf("start %s: %v", k.service, err)
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
