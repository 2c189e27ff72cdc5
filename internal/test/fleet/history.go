package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// back is how long the fleet may make no call after the last fault while a job could go on. Most are back within 10 s. A submission,
// or a task, whose last word was lost on its way is missed when its job is looked at: one to two minutes after its last change
// (seed 950026). What is left at the pace takes a minute more.
const (
	back   = 2 * time.Minute
	finish = time.Minute
)

// rests are how long events leave something at rest besides, by the product's own waits.
var rests = map[string]time.Duration{
	"address banned": 5*time.Minute + 15*time.Second, // as long as DingTalk's documentation says that a ban lasts
	"task deleted":   5*time.Minute + 15*time.Second, // a job that was found well just before is looked at so much later
	"task archived":  time.Minute,                    // looked for every half minute
	forgets:          time.Minute,                    // asynq's tools do not know the queues for a while
	losesLetter:      time.Minute,
	losesSubmission:  time.Minute,
}

// patience is how long the fleet may make no call after the last fault of a history.
func (p plan) patience() time.Duration {
	most := back
	for kind, rest := range rests {
		if slices.ContainsFunc(p.events, func(e event) bool { return e.kind == kind }) {
			most += rest
		}
	}
	return most
}

// outcome is what a history came to.
type outcome struct {
	trace      uint64 // equal for equal histories
	operations int
	took       time.Duration // of virtual time
	calls      int
	rest       time.Duration // from the end of the last fault to that of the last job
	still      time.Duration // the longest of it without a call
	// situations are those that came up, and how often; points how many operations each process did.
	situations map[string]int
	points     map[string]int
}

// play plays a history in a bubble of its own and checks the promises. trace receives one line for each operation; it may be
// nil.
func play(t *testing.T, p plan, trace io.Writer) outcome { return stage(t, p, trace, (*world).live) }

// stage sets a world up, has somebody act in it, and ends it.
func stage(t *testing.T, p plan, trace io.Writer, act func(*world)) (got outcome) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p, trace)
		stop := make(chan struct{})
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			w.gate.run(stop)
		}()
		act(w)
		for _, k := range w.workers {
			k.retire()
		}
		w.intake.end()
		w.running.Wait() // for the ends of the engines, all of which were asked to
		w.cancel()
		w.people.Wait()
		w.besides.Wait()
		close(stop)
		<-opened
		w.running.Wait()
		w.outside.die()
		_ = w.outside.rdb.Close()
		time.Sleep(time.Minute) // goroutines of go-redis and asynq that nobody waits for
		got = outcome{w.gate.trace.sum, w.gate.opened, time.Since(w.began), len(w.sim.Calls()), w.rest, w.still, w.situations, w.gate.points}
		if w.failed { // said in here, since whoever plays the history is not asked any more then
			for _, e := range p.events {
				t.Logf("%.3fs %v", e.at.Seconds(), e)
			}
			t.Log(strings.Join(w.logs[max(0, len(w.logs)-60):], "\n"))
		}
	})
	return got
}

// step is something that happens at a moment of a history.
type step struct {
	at time.Duration
	do func()
}

// live plays the history, lets all faults end, waits for the end of every job, and checks.
func (w *world) live() {
	var steps []step
	for _, j := range w.plan.jobs[:len(w.plan.jobs)-len(w.plan.words)] {
		steps = append(steps, step{j.at, func() { w.people.Go(func() { w.submit(j) }) }})
	}
	w.people.Go(w.talk)
	for _, e := range w.plan.events {
		k := kinds[e.kind]
		steps = append(steps, step{e.at, func() { w.gate.say(e.String()); k.begin(w, e) }})
		if k.end != nil {
			steps = append(steps, step{e.at + e.lasts, func() { k.end(w, e); w.gate.say(e.kind + " is over") }})
		}
	}
	for _, e := range w.plan.changes {
		steps = append(steps, step{e.at, func() { w.gate.say(e.String()); w.change(e) }})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	w.startIntake()
	for i := range w.plan.workers {
		w.workers = append(w.workers, w.keepWorker(i))
	}
	if c := w.plan.crash; c != nil {
		f := fate{kind: dieBefore}
		if c.after {
			f.kind = dieAfter
		}
		w.disturbed(time.Hour)
		w.brew(weather{of: c.process, at: c.number, fate: f})
	}
	for _, s := range steps {
		time.Sleep(time.Until(w.began.Add(s.at)))
		s.do()
	}
	time.Sleep(time.Until(w.began.Add(w.plan.active)))
	w.heal()
	w.gate.say("every fault is over")
	w.people.Wait()
	if w.end() {
		w.check()
	}
}

// heal ends every fault that is left.
func (w *world) heal() {
	w.noMoreMoments()
	if w.plan.crash == nil {
		w.mu.Lock()
		w.weather = nil
		w.mu.Unlock()
	}
	w.sim.Recover()
	w.redis.jump(0)
	w.mu.Lock()
	everybody := w.everybody
	w.mu.Unlock()
	for _, p := range everybody { // also those that were asked to end while they did not run
		p.thaw()
		p.part(false)
	}
}

// listed is how long asynq's tools may not know of a queue that Redis has forgotten.
const listed = 20 * time.Second

// end waits until every job has ended and no task is left but waiting dead letters.
func (w *world) end() bool {
	began := time.Now()
	time.Sleep(time.Until(w.forgotten.Add(listed)))
	calls, last, said := 0, began, ""
	for {
		jobs, running := w.jobsLeft()
		if n := w.callsMade(); n != calls || !running {
			calls, last = n, time.Now()
		}
		w.still = max(w.still, time.Since(last))
		patience := w.plan.patience()
		left := append(jobs, w.tasksLeft()...)
		if len(left) == 0 {
			w.rest = time.Since(began)
			return true
		}
		if now := strings.Join(left, "; "); now != said {
			w.gate.say("left: " + now)
			said = now
		}
		if time.Since(began) > patience+finish || w.still > patience {
			w.broken("back within seconds: %v after the last fault, and without a call for %v, this is left: %v", time.Since(began), w.still, left)
			return false
		}
		time.Sleep(time.Second)
	}
}

// jobsLeft says which jobs are not done, and whether one could go on.
func (w *world) jobsLeft() (left []string, running bool) {
	for _, j := range w.plan.jobs {
		if j.nothing {
			continue
		}
		job, err := w.ledger.Get(w.ctx, j.ID)
		if j.Named != nil && job.Awaiting != "" {
			w.approve(j)
		}
		running = running || job.State == ledger.StateRunning || job.State == ledger.StateResolving
		if err != nil || !job.State.Finished() {
			left = append(left, fmt.Sprintf("%s is %s with %+v (%v)", j.ID, job.State, job.Pairs, err))
		}
	}
	return left, running
}

// tasksLeft says which queues have more than waiting dead letters.
func (w *world) tasksLeft() (left []string) {
	for _, queue := range append(tasks.Lanes(), tasks.QueueDeadLetter) {
		info, err := w.inspector.GetQueueInfo(queue)
		if err != nil {
			continue // no such queue: nothing was ever in it
		}
		if n := info.Pending + info.Active + info.Retry + info.Archived; n > 0 {
			left = append(left, fmt.Sprintf("queue %s: %d pending, %d active, %d to be retried, %d archived", queue, info.Pending, info.Active, info.Retry, info.Archived))
		}
	}
	return left
}

// callsMade counts the calls that reached DingTalk, of every API.
func (w *world) callsMade() int {
	n := len(w.sim.Calls()) + len(w.sim.Gifts())
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, calls := range w.company.lookups {
		n += len(calls)
	}
	return n
}

// shutdown is the longest that a worker may take to end: it grants 15 s to what is in flight.
const shutdown = 30 * time.Second

// startIntake starts the intake, or the next process of it when one has ended.
func (w *world) startIntake() {
	w.intake = w.newProcess(fmt.Sprint("intake.", w.intakes))
	w.intakes++
	p := w.intake
	i, err := newIntake(w)
	if err != nil {
		w.t.Fatal(err)
	}
	w.handler = i.Handler
	w.running.Go(func() {
		i.Notify(p.alive)
		p.die()
		_ = p.rdb.Close()
	})
}

// handlerOfIntake is the one of the intake that runs; its keeper starts it again.
func (w *world) handlerOfIntake() http.Handler {
	w.intaking.Lock()
	defer w.intaking.Unlock()
	if w.intake.isDead() {
		w.startIntake()
	}
	return w.handler
}

// tries is how often a person tries something again that failed, half a second apart.
const tries = 400

// again does something until it succeeds, as a person does.
func (w *world) again(what string, do func() error) bool {
	var err error
	for range tries {
		if err = do(); err == nil {
			return true
		}
		if w.ctx.Err() != nil {
			return false
		}
		time.Sleep(500 * time.Millisecond)
	}
	w.broken("%s never succeeded: %v", what, err)
	return false
}

var errStatus = errors.New("the intake answered")

// post posts a body to the intake.
func (w *world) post(body []byte) (status int, err error) {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/removals", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	w.handlerOfIntake().ServeHTTP(answer, r)
	if answer.Code >= 300 {
		return answer.Code, fmt.Errorf("%w %d %s", errStatus, answer.Code, answer.Body)
	}
	return answer.Code, nil
}

// check looks at the end of the history.
func (w *world) check() {
	letters, err := promises.Letters(w.inspector)
	if err != nil {
		w.broken("%v", err)
		return
	}
	h := &promises.History{Sim: w.sim, Calls: w.sim.Calls(), Gifts: w.sim.Gifts(), Before: w.plan.before, Late: w.late, Letters: letters, Protected: w.plan.protected, Bad: w.plan.bad, BadRole: w.plan.badRole,
		Mended: w.mended, Archived: w.archived, Blamed: w.blamed, QPS: w.plan.qps, Extra: 2, Latency: w.plan.dingtalk.Latency + w.plan.dingtalk.Jitter,
		InFlight: 400 * time.Millisecond, Disturbed: w.disturbedAt, Unclear: w.unclear, Forgot: !w.forgotten.IsZero(),
		Directory: w.company.history, Lookups: w.company.lookups, Left: w.company.left, GivenAgain: w.company.given}
	for _, j := range w.plan.jobs {
		if j.nothing {
			continue
		}
		record, err := w.ledger.Get(w.ctx, j.ID)
		if err != nil {
			w.broken("%s: %v", j.ID, err)
			continue
		}
		j.Record = record
		j.Counts, j.Ends = record.Pairs, map[promises.Pair]promises.End{}
		err = w.ledger.Rows(w.ctx, j.ID, func(r ledger.Row) error {
			p := promises.Pair{User: r.UserID, Role: r.RoleID}
			if _, twice := j.Ends[p]; twice {
				w.broken("counted once: %s reports %v twice", j.ID, p)
			}
			o := r.Outcome
			j.Ends[p] = promises.End{Outcome: string(o.Kind), Reason: o.Reason, Says: fmt.Sprint(o.ErrCode, " ", o.ErrMsg), Letter: o.Letter}
			return nil
		})
		if err != nil {
			w.broken("%s: %v", j.ID, err)
		}
		if j.restores != nil { // which pairs there are was found out when it was submitted
			for p := range j.Ends {
				j.Pairs[p] = true
			}
		}
		w.readShared(j)
		w.readNamed(j)
		h.Jobs = append(h.Jobs, &j.Job)
	}
	h.Check(w.broken)
	w.lookBack(h)
}

// readShared reads which pairs lie in a part that does not count them.
func (w *world) readShared(j *job) {
	j.Shared = map[promises.Pair]bool{}
	if err := w.ledger.Each(w.ctx, j.ID, func(rec ledger.PartRecord) error {
		size := pairs.SizeOf(rec.Part)
		for u, r := range size.Whole().All() {
			if !rec.Part.Own.Has(size.Number(u, r)) {
				j.Shared[promises.Pair{User: rec.Part.UserIDs[u], Role: rec.Part.RoleIDs[r]}] = true
			}
		}
		return nil
	}); err != nil {
		w.broken("%s: %v", j.ID, err)
	}
}

// unclear: calls that have their slot wait for a token and then go out together (docs/reliability.md, what is not promised).
func (w *world) unclear(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.fetches, func(t time.Time) bool { return t.Before(to) && from.Before(t.Add(2*time.Second)) })
}
