package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// crashLimit is how often a task may take its worker down, or panic, before it is set aside.
const crashLimit = 10

// task is one asynq task on its way through this worker.
type task struct {
	id    string // asynq's
	queue string
	lane  int
	log   zerolog.Logger

	mu    sync.Mutex // guards claim while a stay lasts
	claim *ledger.Claim
}

// stay is one wait of a task in the pool: it ends when all of its pairs were called, or when the task has to leave.
type stay struct {
	*task
	offer *combine.Offer
	asked pairs.Set // what the offer asks for; it does not change
	began time.Time
	slot  sync.Once // the first slot ends the wait that is measured

	left  sync.Once
	why   error // why the task left early; to be read when the stay has ended
	over  sync.Once
	ended chan struct{} // closed when nothing of the offer is open or in flight any more
}

// errAgain ends an offer whose task has to be looked at anew: something changed while it waited.
var errAgain = errors.New("the task changed while it waited")

// errStopping ends whatever waits when the worker stops; asynq gives the task to somebody else.
var errStopping = &later{why: "the worker stopped before the task was done"}

// handle is the way of a task, top to bottom.
func (w *Worker) handle(ctx context.Context, at *asynq.Task) (err error) {
	id, _ := asynq.GetTaskID(ctx)
	queue, _ := asynq.GetQueueName(ctx)
	defer w.recovered(id, &err)

	if at.Type() != tasks.TypeRemove {
		return w.unreadable(ctx, id, queue, at.Payload(), fmt.Errorf("task type %q is not known to this build", at.Type()))
	}
	part, err := tasks.Decode(at.Payload())
	if err != nil {
		return w.unreadable(ctx, id, queue, at.Payload(), err)
	}
	if part.Failure != nil && part.Failure.Reason == tasks.ReasonBadPayload {
		return w.rereadable(ctx, id, part)
	}
	t := &task{id: id, queue: queue, lane: laneOf(queue, part),
		log: w.log.With().Str("job", part.JobID).Str("part", part.Part).Logger()}
	if err := w.claim(ctx, t, part); err != nil {
		return w.lost(t, err)
	}
	if !part.Fits() {
		return w.lost(t, w.split(ctx, t))
	}
	// A worker that dies takes every task that waits in it along; to blame is one that was being called.
	if crashes, _ := asynq.GetRetryCount(ctx); crashes >= crashLimit && t.claim.Begun || crashes >= 10*crashLimit {
		return w.lost(t, w.setAside(t, tasks.Failure{Reason: tasks.ReasonCrashed, Attempts: crashes, FailedAt: time.Now(),
			ErrMsg: fmt.Sprintf("the task took its worker down, or panicked, %d times", crashes)}))
	}
	if err := w.serve(ctx, t); err != nil {
		return w.lost(t, err)
	}
	w.result(at, t)
	return nil
}

// lost turns an error that nobody foresaw into a later try, so that neither the task nor asynq's count of crashes
// suffers from a Redis that is away.
func (w *Worker) lost(t *task, err error) error {
	var l *later
	var p *panicked
	if err == nil || errors.As(err, &l) || errors.As(err, &p) {
		return err
	}
	if w.stopping.Err() != nil {
		return errStopping
	}
	t.log.Warn().Err(err).Msg("task is put back")
	return &later{after: 2 * time.Second, why: err.Error()}
}

// laneOf is the lane a task competes in, the most urgent being 0. A dead letter competes in the lane it came from.
func laneOf(queue string, part *tasks.Part) int {
	if part.Failure != nil {
		queue = part.Failure.Queue
	}
	if i := slices.Index(tasks.Lanes(), queue); i >= 0 {
		return i
	}
	return slices.Index(tasks.Lanes(), tasks.QueueDefault)
}

// claim looks the part up in the ledger, which adopts it if nobody told it. A part whose name is taken by other content
// (a foreign producer that names all its parts alike) gets a name of its own.
func (w *Worker) claim(ctx context.Context, t *task, part *tasks.Part) error {
	rq := ledger.Request{Part: part, Lane: tasks.Lanes()[t.lane]}
	claims, err := w.cfg.Ledger.Claim(ctx, rq)
	if errors.Is(err, ledger.ErrOtherContent) {
		payload, encodeErr := part.Encode()
		if encodeErr != nil {
			return encodeErr
		}
		part.Part = tasks.ChildName(part.Part, int(crc32.ChecksumIEEE(payload)))
		claims, err = w.cfg.Ledger.Claim(ctx, rq)
	}
	if err != nil {
		return err
	}
	t.claim = claims[0]
	return nil
}

// serve brings every open pair of a batch to its end, or returns when the task is to be tried again later.
func (w *Worker) serve(ctx context.Context, t *task) error {
	for {
		if err := w.settleKnown(t); err != nil {
			return err
		}
		if !t.open() {
			return nil
		}
		err := w.offer(ctx, t)
		var used *spent
		if errors.As(err, &used) {
			err = w.halve(t, used)
		}
		switch {
		case err == nil && !t.open():
			return nil
		case err == nil || errors.Is(err, errAgain):
		default:
			var l *later
			if !errors.As(err, &l) || l.after >= 2*time.Second || l == errStopping || !w.lead.leads.Load() {
				return err
			}
			if wait.For(w.stopping, l.after) != nil {
				return errStopping
			}
		}
		if err := w.claim(ctx, t, t.claim.Part); err != nil {
			return err
		}
	}
}

// settleKnown settles what needs no call: a cancelled job, a time that has not come, protected ids, and ids that the
// job has learned to be bad. A dead letter that is tried again opens its pairs here.
func (w *Worker) settleKnown(t *task) error {
	c := t.claim
	if c.Part.Failure != nil && !c.Cancelled {
		if err := w.settle(t, c.Dead(), ledger.Outcome{Kind: ledger.Pending, Letter: c.Part.Part}); err != nil {
			return err
		}
	}
	if c.Cancelled {
		if c.Part.Failure != nil {
			// What was dead stays dead; the letter waits on.
			if err := w.keepLetter(t); err != nil {
				return err
			}
		}
		return w.settle(t, c.Open(), ledger.Outcome{Kind: ledger.Cancelled, ErrMsg: c.CancelReason})
	}
	if wait := time.Until(c.At); wait > 0 {
		return &later{after: wait, why: "the job's time has not come: " + c.At.Format(time.RFC3339)}
	}
	for u, id := range c.Part.UserIDs {
		f, bad := c.BadUser(pairs.User(u))
		if w.cfg.Protected.User(id) {
			f, bad = protectedFailure("user "+id), true
		}
		if bad {
			if err := w.deadLetter(t, pairs.Rectangle{Users: []pairs.User{pairs.User(u)}}, f); err != nil {
				return err
			}
		}
	}
	for r, id := range c.Part.RoleIDs {
		f, bad := c.BadRole(pairs.Role(r))
		if w.cfg.Protected.Role(id) {
			f, bad = protectedFailure(fmt.Sprintf("role %d", id)), true
		}
		if bad {
			if err := w.deadLetter(t, pairs.Rectangle{Roles: []pairs.Role{pairs.Role(r)}}, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func protectedFailure(what string) tasks.Failure {
	return tasks.Failure{Reason: tasks.ReasonProtected, ErrMsg: what + " is protected by this worker's configuration", FailedAt: time.Now()}
}

// offer waits until every open pair of the task was called, or until the task has to leave.
func (w *Worker) offer(ctx context.Context, t *task) error {
	st := newStay(t)
	w.dispatch.offer(st.offer)
	select {
	case <-st.ended:
	case <-w.stopping.Done():
		w.leave(st, errStopping)
	case <-ctx.Done():
		w.leave(st, &later{why: "the task waited for as long as asynq lets it"})
	}
	// What is in flight ends normally.
	<-st.ended
	return st.why
}

// newStay makes the offer of a task. It asks for what is worth a place in a call: of the users and roles that have
// something open, every pair that may be called, also one that another part of the job owns, or that is removed already;
// leaving it out would tear a hole into the rectangle.
func newStay(t *task) *stay {
	c := t.claim
	st := &stay{task: t, asked: c.Callable().Within(c.Open().Hull()), began: time.Now(), ended: make(chan struct{})}
	st.offer = combine.NewOffer(t.lane, c.Part.UserIDs, c.Part.RoleIDs, st.asked.Has, st)
	return st
}

// leave withdraws the offer of a task; the first reason counts.
func (w *Worker) leave(st *stay, why error) {
	st.left.Do(func() {
		st.why = why
		w.dispatch.pool.Withdraw(st.offer)
	})
	w.progress(st)
}

// progress ends the stay of a task that has nothing open and nothing in flight any more.
func (w *Worker) progress(st *stay) {
	if open, inFlight := w.dispatch.pool.Open(st.offer); open == 0 && inFlight == 0 {
		st.over.Do(func() { close(st.ended) })
	}
}

// open reports whether any pair of the task still waits for an outcome.
func (t *task) open() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.claim.Open().Any()
}

// settle gives one outcome to some pairs of the task.
func (w *Worker) settle(t *task, which pairs.Set, o ledger.Outcome) error {
	rectangles := which.Rectangles()
	if len(rectangles) == 0 {
		return nil
	}
	if o.At.IsZero() {
		o.At = time.Now()
	}
	settlements := make([]ledger.Settlement, len(rectangles))
	for i, r := range rectangles {
		settlements[i] = ledger.Settlement{Pairs: r, Outcome: o}
	}
	return w.persist(func(ctx context.Context) error {
		delta, err := w.cfg.Ledger.Settle(ctx, t.claim, settlements...)
		for kind, n := range map[ledger.Kind]int64{ledger.Removed: delta.Removed, ledger.Dead: delta.Dead, ledger.Cancelled: delta.Cancelled} {
			if n > 0 {
				w.cfg.Observer.Settled(kind, o.Reason, int(n))
			}
		}
		return err
	})
}

// persist repeats a write while Redis refuses it: what DingTalk has done must not be forgotten for a short outage. It
// gives up when the worker ends.
func (w *Worker) persist(write func(context.Context) error) error {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := write(w.ending)
		if _, refused := redisconn.Explain(err); !refused {
			return err
		}
		if wait.For(w.ending, pause) != nil {
			return err
		}
	}
}

// result leaves what became of the part with the task, where the asynq web UI shows it.
func (w *Worker) result(at *asynq.Task, t *task) {
	if at.ResultWriter() == nil {
		return
	}
	body, err := json.Marshal(t.claim.Summary())
	if err == nil {
		_, err = at.ResultWriter().Write(body)
	}
	if err != nil {
		t.log.Debug().Err(err).Msg("the task's result is not shown in the web UI")
	}
}
