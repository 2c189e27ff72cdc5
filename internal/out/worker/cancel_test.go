package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A search may stand still for as long as a hold lasts; nothing of its batch is being called meanwhile, so a cancel has
// nothing to wait for.
func TestACancelTakesEffectAtOnceWhileASearchStandsStill(t *testing.T) {
	for name, c := range map[string]struct {
		// refused is what happens when the batch has been refused; calls is how many there are then until the search stands
		// still, gettoken's included.
		refused func(*world, *pace.Pacer)
		calls   int
	}{
		"in a sticky hold that came before its next probe": {calls: 2, refused: func(w *world, p *pace.Pacer) {
			if err := p.SetHold(w.Context(), pace.HoldReason{Kind: pace.HoldEverythingRefused}); err != nil {
				w.Error(err)
			}
		}},
		"in a hold that its probe was answered with": {calls: 3, refused: func(w *world, _ *pace.Pacer) {
			w.sim.Fail(simulator.FaultPermission, 0)
		}},
		"in the backoff of a busy probe": {calls: 3, refused: func(w *world, _ *pace.Pacer) {
			w.sim.Fail(simulator.FaultBusy, 0)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			var w *world
			var pacer *pace.Pacer
			var first sync.Once
			w = newWorld(t, rdb, simulator.Options{Open: true, BadUsers: []string{"u007"}, Observe: func(simulator.Call) {
				first.Do(func() { c.refused(w, pacer) })
			}})
			w.config.RetryBase, w.config.RetryCap = time.Hour, time.Hour
			w.holdProbe = time.Hour
			pacer = w.pacer()
			w.submit("still", names("u", 50), roleIDs(10))
			w.work()
			w.waitForCalls(c.calls)
			w.until(func() bool { return !w.begun("still") })
			job, err := w.ledger.Cancel(t.Context(), "still", "somebody", "they stay")
			if err != nil || job.State != ledger.StateCancelled || job.Pairs != (ledger.Pairs{Total: 500, Cancelled: 500}) {
				t.Errorf("%+v, %v: want all of it cancelled at once", job, err)
			}
		})
	}
}

// begun reports whether any part of the job is marked as being called.
func (w *world) begun(jobID string) bool {
	w.Helper()
	any := false
	if err := w.ledger.Each(w.Context(), jobID, func(r ledger.PartRecord) error { any = any || r.Begun; return nil }); err != nil {
		w.Fatal(err)
	}
	return any
}

// Somebody who is hired again keeps what no call has taken, in whatever job it waits, and however it comes to its turn.
func TestNoCallCoversWhoeverStays(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{Open: true})
		w.submit("large", names("u", 300), roleIDs(20)) // one part, which is split
		w.submit("alone", []string{"u007"}, roleIDs(3))
		stays, err := w.ledger.CancelUsers(t.Context(), []string{"u007"}, "hr", "rehired")
		if err != nil || len(stays) != 2 {
			t.Fatalf("%+v, %v", stays, err)
		}
		w.work()
		if job := w.finished("large"); job.State != ledger.StateCompleted || job.Pairs != (ledger.Pairs{Total: 6000, Removed: 5980, Cancelled: 20}) {
			t.Errorf("%+v", job)
		}
		if job := w.finished("alone"); job.State != ledger.StateCancelled {
			t.Errorf("%+v", job)
		}
		for _, c := range w.sim.Calls() {
			if slices.Contains(c.Users, "u007") {
				t.Errorf("a call of %d users covers u007", len(c.Users))
			}
		}
	})
}

func TestADeadLetterOfWhoeverStaysIsNotCalledAgain(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	users, roles := names("u", 5), roleIDs(2)
	w.grant(users, roles)
	w.sim.SetUser(simulator.Invalid, "u001", "u002")
	w.submit("letters", users, roles)
	w.work()
	w.finished("letters")
	calls := len(w.sim.Calls())
	w.sim.SetUser(simulator.Accepted, "u001", "u002")
	// As CancelUsers notes it of a job that is open.
	if err := rdb.HSet(t.Context(), "unrole:job:{letters}:bad", "c:u001", `{"errmsg":"rehired"}`).Err(); err != nil {
		t.Fatal(err)
	}
	for name := range w.letters() {
		if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, "letters:"+name); err != nil {
			t.Fatal(err)
		}
	}
	w.until(func() bool {
		return w.finished("letters").Pairs == ledger.Pairs{Total: 10, Removed: 8, Cancelled: 2}
	})
	for _, c := range w.sim.Calls()[calls:] {
		if slices.Contains(c.Users, "u001") {
			t.Errorf("a call of %v", c.Users)
		}
	}
}

// overlap is a worker with two parts of a job in hand: a call of the first takes ann and role 1, which the second counts.
func overlap(t *testing.T) (w *world, worker *Worker, visits []*visit) {
	t.Helper()
	_, rdb := redistest.Memory(t)
	w = newWorld(t, rdb, simulator.Options{})
	cfg := w.config
	cfg.Redis, cfg.DingTalk, cfg.Pacer, cfg.Ledger = rdb, &dingtalk.Client{}, w.pacer(), w.ledger
	worker, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	worker.ending, worker.stopping = t.Context(), t.Context()
	caller := &tasks.Part{JobID: "overlap", Part: "0", UserIDs: []string{"ann", "bob"}, RoleIDs: []int64{1}}
	caller.Own = pairs.SizeOf(caller).Whole().Own(func(u pairs.User, _ pairs.Role) bool { return caller.UserIDs[u] == "bob" })
	owner := &tasks.Part{JobID: "overlap", Part: "1", UserIDs: []string{"ann"}, RoleIDs: []int64{1, 2}}
	for _, part := range []*tasks.Part{caller, owner} {
		v := worker.visit(part.TaskID(), tasks.QueueDefault, part)
		t.Cleanup(worker.neighbours.add(v))
		if err := v.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		visits = append(visits, v)
	}
	return w, worker, visits
}

// A cancel that comes while a call is under way leaves alone what the call takes, also what another part counts.
func TestACancelInTheMomentOfACallLeavesWhatItTakesOfAnotherPart(t *testing.T) {
	w, worker, visits := overlap(t)
	g := visits[0].alone(pairs.SizeOf(visits[0].part).Whole())
	if err := worker.lookAgain(g, g.whole); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ledger.Cancel(t.Context(), "overlap", "me", "mistaken"); err != nil {
		t.Fatal(err)
	}
	worker.done(g, g.whole, outcome.Decision{RequestID: "request"}, false)
	g.rest()
	g.restOwners()
	if w.begun("overlap") {
		t.Error("a part is marked as being called after the call")
	}
	for _, v := range visits {
		if err := errors.Join(v.look(t.Context()), v.settleKnown()); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]ledger.Kind{"ann/1": ledger.Removed, "ann/2": ledger.Cancelled, "bob/1": ledger.Removed}
	for pair, row := range w.rows("overlap") {
		if row.Outcome.Kind != want[pair] {
			t.Errorf("%s is %s, want %s", pair, row.Outcome.Kind, want[pair])
		}
	}
}

// apart is a worker without a lead, whose calls are answered by calls, with a part of two people in hand.
func apart(t *testing.T, calls Caller) (w *world, worker *Worker, v *visit) {
	t.Helper()
	_, rdb := redistest.Memory(t)
	w = newWorld(t, rdb, simulator.Options{})
	cfg := w.config
	cfg.Redis, cfg.DingTalk, cfg.Pacer, cfg.Ledger = rdb, calls, accepting(0), w.ledger
	worker, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	worker.cfg.DingTalk = calls
	worker.ending, worker.stopping = t.Context(), t.Context()
	worker.letters = &letters{redis: rdb, client: asynq.NewClientFromRedisClient(rdb), log: w.config.Log}
	part := &tasks.Part{JobID: "job", Part: "0", UserIDs: []string{"ann", "bob"}, RoleIDs: []int64{1}}
	v = worker.visit(part.TaskID(), tasks.QueueDefault, part)
	if err := v.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, worker, v
}

// A cancel that comes just before a finding is written finds pairs that are not being called: what was to be their letter is none.
func TestACancelBeforeAFindingLeavesNoLetter(t *testing.T) {
	w, _, v := apart(t, &dingtalk.Client{})
	ann := pairs.Rectangle{Users: []pairs.User{0}}
	refused := tasks.Failure{Reason: tasks.ReasonInvalidUser, FailedAt: time.Now()}
	if err := v.condemn(isolate.BadUser, ann, refused); err != nil || len(w.letters()) != 1 {
		t.Fatalf("%v, letters %v", err, w.letters())
	}
	if _, err := w.ledger.Cancel(t.Context(), "job", "me", "mistaken"); err != nil {
		t.Fatal(err)
	}
	if err := v.condemn(isolate.BadUser, pairs.Rectangle{Users: []pairs.User{1}}, refused); err != nil {
		t.Fatal(err)
	}
	if letters := w.letters(); len(letters) != 1 || letters["0-u0"] == nil {
		t.Errorf("letters %v, want that of ann alone", letters)
	}
	if job, err := w.ledger.Get(t.Context(), "job"); err != nil || job.Pairs != (ledger.Pairs{Total: 2, Dead: 1, Cancelled: 1}) {
		t.Errorf("%+v, %v", job.Pairs, err)
	}
}

// The same where it comes for one of several.
func TestWhoseRolesAreKeptMeanwhileIsInNoLetter(t *testing.T) {
	w, worker, v := apart(t, &dingtalk.Client{})
	other := worker.visit(v.id, tasks.QueueDefault, v.part)
	if err := other.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	bob := pairs.Rectangle{Users: []pairs.User{1}, Roles: []pairs.Role{0}}
	if err := other.settle(other.claim.Open().Within(bob), ledger.Outcome{Kind: ledger.Cancelled, ErrMsg: "stays"}); err != nil {
		t.Fatal(err)
	}
	if err := v.condemn(isolate.BadRole, pairs.Rectangle{Roles: []pairs.Role{0}}, tasks.Failure{Reason: tasks.ReasonSystemRole, FailedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	letter := w.letters()["0-r0"]
	if letter == nil || !slices.Equal(letter.UserIDs, []string{"ann"}) {
		t.Errorf("the letter is %+v, want that of ann alone", letter)
	}
	if job, err := w.ledger.Get(t.Context(), "job"); err != nil || job.Pairs != (ledger.Pairs{Total: 2, Dead: 1, Cancelled: 1}) {
		t.Errorf("%+v, %v", job.Pairs, err)
	}
}

// Redis is started again, with what it had a moment before, between the letter and the count: the letter is put back, and one that is
// only not listed any more gets no second one.
func TestALetterOutlivesARedisThatIsStartedAgain(t *testing.T) {
	for lost, lose := range map[string]func(context.Context, redis.UniversalClient){
		"the letter": func(ctx context.Context, rdb redis.UniversalClient) {
			rdb.Del(ctx, "asynq:{dead-letter}:t:job:0-u0", "asynq:{dead-letter}:scheduled")
		},
		"that there is such a queue": func(ctx context.Context, rdb redis.UniversalClient) { rdb.Del(ctx, "asynq:queues") },
	} {
		t.Run(lost, func(t *testing.T) {
			w, _, v := apart(t, &dingtalk.Client{})
			w.rdb.AddHook(&forgetful{rdb: w.rdb, lose: lose})
			refused := tasks.Failure{Reason: tasks.ReasonInvalidUser, FailedAt: time.Now()}
			if err := v.condemn(isolate.BadUser, pairs.Rectangle{Users: []pairs.User{0}}, refused); err != nil {
				t.Fatal(err)
			}
			if letters := w.letters(); len(letters) != 1 || letters["0-u0"] == nil {
				t.Errorf("letters %v, want that of ann", letters)
			}
			if listed := w.rdb.SMembers(t.Context(), "asynq:queues").Val(); !slices.Contains(listed, tasks.QueueDeadLetter) {
				t.Errorf("asynq's tools know of %v", listed)
			}
		})
	}
}

// The same where it has the letter and has lost its count: the task is tried again, and may find something else by then.
func TestALetterWhoseCountIsLostIsTakenBack(t *testing.T) {
	w, _, v := apart(t, &dingtalk.Client{})
	w.rdb.AddHook(&forgetful{rdb: w.rdb, after: 1, lose: func(ctx context.Context, rdb redis.UniversalClient) { rdb.HDel(ctx, "unrole:job:{job}:state", "0") }})
	refused := tasks.Failure{Reason: tasks.ReasonInvalidUser, FailedAt: time.Now()}
	if err := v.condemn(isolate.BadUser, pairs.Rectangle{Users: []pairs.User{0}}, refused); err != nil {
		t.Fatal(err)
	}
	if letters := w.letters(); len(letters) > 0 {
		t.Errorf("letters %v, want none", letters)
	}
}

// forgetful loses something right after the first letter was enqueued, or after so many more commands about it.
type forgetful struct {
	rdb   redis.UniversalClient
	after int
	lose  func(context.Context, redis.UniversalClient)
}

func (*forgetful) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*forgetful) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f *forgetful) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && len(cmd.Args()) > 3 && cmd.Args()[3] == "asynq:{dead-letter}:t:job:0-u0" {
			if f.after == 0 {
				f.lose(context.WithoutCancel(ctx), f.rdb)
			}
			f.after--
		}
		return err
	}
}

// What a probe was answered is taken in before a cancel can reach what it is about.
func TestAProbeIsMarkedUntilItsAnswerIsTakenIn(t *testing.T) {
	for what, c := range map[string]error{"passed": nil, "refused": &dingtalk.Error{Class: dingtalk.ClassInvalidUser, ErrCode: 33012, HasErrCode: true}} {
		t.Run(what, func(t *testing.T) {
			w, worker, v := apart(t, &answering{err: c})
			running, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); v.api.run(running, worker) }()
			defer func() { stop(); <-ended }()
			iso := &isolation{w: worker, g: v.alone(pairs.SizeOf(v.part).Whole())}
			answer, err := iso.probe(t.Context(), pairs.Rectangle{Users: []pairs.User{0}, Roles: []pairs.Role{0}})
			if err != nil || answer.Passed != (c == nil) {
				t.Fatalf("%+v, %v", answer, err)
			}
			if !w.begun("job") {
				t.Error("a cancel would come before the answer is taken in")
			}
			answer.TakenIn()
			if w.begun("job") {
				t.Error("the part is marked as being called after the answer")
			}
		})
	}
}

// A lane that is paused pauses: also a search of its task ends after the call under way, and goes on when the lane does.
func TestAPausedLaneEndsASearchOfItsTask(t *testing.T) {
	_, rdb := redistest.Memory(t)
	bad := names("u", 15)
	w := newWorld(t, rdb, simulator.Options{Open: true, BadUsers: bad})
	w.qps = 15
	w.submit("search", names("u", 40), roleIDs(1))
	w.work()
	w.until(func() bool { return len(w.sim.Calls()) >= 3 })
	inspector := newInspector(rdb)
	if err := inspector.PauseQueue(tasks.QueueDefault); err != nil {
		t.Fatal(err)
	}
	calls := len(w.sim.Calls())
	w.until(func() bool {
		info, err := inspector.GetQueueInfo(tasks.QueueDefault)
		return err == nil && info.Active == 0
	})
	job, err := w.ledger.Get(t.Context(), "search")
	if after := len(w.sim.Calls()) - calls; err != nil || job.State.Finished() || after > 12 {
		t.Fatalf("%d calls after the pause; the job is %s, %v", after, job.State, err)
	}
	if w.begun("search") {
		t.Error("a part is marked as being called")
	}
	if err := inspector.UnpauseQueue(tasks.QueueDefault); err != nil {
		t.Fatal(err)
	}
	if job := w.finished("search"); job.Pairs != (ledger.Pairs{Total: 40, Removed: 25, Dead: 15}) {
		t.Errorf("%+v", job.Pairs)
	}
}
