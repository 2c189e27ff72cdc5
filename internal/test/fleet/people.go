package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/verify"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

func newIntake(w *world) (*app.Intake, error) {
	return app.NewIntake(w.conf(), w.parts(w.intake), app.Admission{})
}

// somebody is a process that somebody starts to do one thing. end closes it.
func (w *world) somebody(name string) (p *process, end func()) {
	p = w.newProcess(name)
	return p, func() {
		p.die()
		_ = p.rdb.Close()
	}
}

// buyQuota has the operator end the hold of a spent quota, which nothing else ends, until every job has ended: a worker may still
// tell of it that was cut off meanwhile.
func (w *world) buyQuota() {
	for wait.For(w.ctx, 2*time.Second) == nil {
		w.again("the hold of the quota ends", func() error {
			p, end := w.somebody("resumes")
			defer end()
			for _, pacer := range []func(*config.Config, app.Parts) (*pace.Pacer, error){app.NewPacer, app.NewAddingPacer} {
				of, err := pacer(w.conf(), w.parts(p))
				if err != nil {
					return err
				}
				ended, err := of.ClearHold(p.alive, pace.HoldQuota)
				if err != nil {
					return err
				}
				w.saw("an operator ended the hold of the quota", ended != "")
			}
			return nil
		})
	}
}

// submit submits a job in its way, again until it succeeded, and approves it if it waits for that.
func (w *world) submit(j *job) {
	taken := w.submitAs(j, "submits "+j.ID)
	close(w.submitted[j.ID]) // also if Redis loses it before it is approved: then it has to be submitted again
	if taken && j.waits && !j.nothing {
		w.approve(j)
	}
}

func (w *world) submitAs(j *job, name string) bool {
	return w.again(name, func() error {
		p, end := w.somebody(name)
		defer end()
		switch {
		case j.Action == tasks.Add:
			return w.giveBack(p, j)
		case j.Named != nil:
			return w.submitNamed(p, j)
		case j.by == byIntake:
			return w.postJob(j)
		case j.by == byQueue:
			return putTask(p, j)
		default:
			return submitJob(p, j)
		}
	})
}

func removalsOf(j *job) *enqueue.Removals {
	r := &enqueue.Removals{}
	for _, p := range j.sorted() {
		r.Add(p.User, p.Role)
	}
	return r
}

func (j *job) due() time.Time {
	if j.starts == 0 {
		return time.Time{}
	}
	return epoch.Add(j.at + j.starts).Truncate(time.Second)
}

func submitJob(p *process, j *job) error {
	client, err := enqueue.NewClient(enqueue.Config{Redis: p.rdb})
	if err != nil {
		return err
	}
	_, err = client.Submit(p.alive, enqueue.Submission{JobID: j.ID, Removals: removalsOf(j), Priority: j.lane, Source: "fleet",
		MaxUsers: -1, At: j.due(), AwaitApproval: j.waits})
	return err
}

func (w *world) postJob(j *job) error {
	type removal struct {
		Users []string `json:"user_ids"`
		Roles []int64  `json:"role_ids"`
	}
	body := map[string]any{"job_id": j.ID, "source": "hr", "reason": "left", "priority": j.lane}
	if !j.due().IsZero() {
		body["at"] = j.due()
	}
	var removals []removal
	for _, p := range j.sorted() {
		removals = append(removals, removal{[]string{p.User}, []int64{p.Role}})
	}
	body["removals"] = removals
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	status, err := w.post(text)
	if status == http.StatusBadRequest || status == http.StatusConflict {
		w.broken("%s: %v", j.ID, err)
		return nil
	}
	return err
}

// putTask puts a task straight into the queue, as programs do that know asynq and not unrole.
func putTask(p *process, j *job) error {
	part := tasks.Part{V: tasks.Version, JobID: j.ID, Part: "0"}
	for _, pr := range j.sorted() {
		if !slices.Contains(part.UserIDs, pr.User) {
			part.UserIDs = append(part.UserIDs, pr.User)
		}
		if !slices.Contains(part.RoleIDs, pr.Role) {
			part.RoleIDs = append(part.RoleIDs, pr.Role)
		}
	}
	payload, err := part.Encode()
	if err != nil {
		return err
	}
	_, err = asynq.NewClientFromRedisClient(p.rdb).EnqueueContext(p.alive, asynq.NewTask(tasks.TypeRemove, payload),
		asynq.Queue(j.lane), asynq.TaskID(part.TaskID()), asynq.MaxRetry(25), asynq.Retention(24*time.Hour))
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil
	}
	return err
}

// whenSubmitted runs do, in the background, once the job that the event is about is submitted.
func (w *world) whenSubmitted(e event, do func(*job)) {
	w.onceSubmitted(w.plan.jobs[e.pick%uint64(len(w.plan.jobs))], do)
}

func (w *world) onceSubmitted(j *job, do func(*job)) {
	w.people.Go(func() {
		select {
		case <-w.submitted[j.ID]:
			do(j)
		case <-w.ctx.Done():
		}
	})
}

// submitAgain repeats a submission. A restore that found nothing to give back was none.
func (w *world) submitAgain(j *job) {
	if !j.nothing {
		w.submitAs(j, "submits "+j.ID+" again")
	}
}

func (w *world) submitOtherwise(j *job) {
	if j.by == byQueue || j.nothing {
		return
	}
	w.again("submits "+j.ID+" otherwise", func() error {
		p, end := w.somebody("forger")
		defer end()
		client, err := enqueue.NewClient(enqueue.Config{Redis: p.rdb})
		if err != nil {
			return err
		}
		other := &enqueue.Removals{}
		other.Add("somebody-else", 1)
		_, err = client.Submit(p.alive, enqueue.Submission{JobID: j.ID, Removals: other})
		var conflict *enqueue.ConflictError
		switch {
		case err == nil:
			w.broken("same job id, other content: %s was taken", j.ID)
		case !errors.As(err, &conflict):
			return err
		}
		return nil
	})
}

func (w *world) approve(j *job) {
	w.again("approves "+j.ID, func() error {
		p, end := w.somebody("approver")
		defer end()
		l := ledger.New(p.rdb, 0)
		job, err := l.Approve(p.alive, j.ID, "approver", "")
		var not *ledger.NotAwaitingError
		if errors.As(err, &not) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = producer.Repair(p.alive, l, p.rdb, asynq.NewClientFromRedisClient(p.rdb), job)
		return err
	})
}

func (w *world) cancelJob(j *job) {
	w.saw("a job was cancelled while calls were under way", w.underWay() > 0)
	w.saw("a job was cancelled between claim and call", w.marked(j) && w.underWay() == 0)
	w.again("cancels "+j.ID, func() error {
		p, end := w.somebody("canceller")
		defer end()
		_, err := ledger.New(p.rdb, 0).Cancel(p.alive, j.ID, "operator", "history")
		var finished *ledger.FinishedError
		var unknown *ledger.NotFoundError
		switch {
		case errors.As(err, &finished):
			// An earlier try may have done it.
			if finished.Job.CancelledAt == nil {
				return nil
			}
		case errors.As(err, &unknown) && (j.by == byQueue || j.nothing):
			return nil // no worker has seen it yet
		case err != nil:
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if j.Cancelled.IsZero() {
			j.Cancelled = time.Now()
		}
		return nil
	})
}

func (w *world) repair(j *job) {
	w.again("repairs "+j.ID, func() error {
		p, end := w.somebody("repairer")
		defer end()
		l := ledger.New(p.rdb, 0)
		job, err := l.Get(p.alive, j.ID)
		var unknown *ledger.NotFoundError
		if errors.As(err, &unknown) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = producer.Repair(p.alive, l, p.rdb, asynq.NewClientFromRedisClient(p.rdb), job)
		return err
	})
}

func (w *world) verify(j *job) {
	p, end := w.somebody("verifier")
	defer end()
	ctx, cancel := context.WithTimeout(p.alive, 20*time.Second)
	defer cancel()
	with := w.parts(p)
	pacer, err := app.NewPacer(w.conf(), with)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := dingtalk.New(app.Credentials(w.conf(), with))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	// What it finds depends on the moment; that it changes nothing is checked at the end, with all else.
	_, _ = verify.Job(ctx, verify.Config{Directory: client, Pacer: pacer, Ledger: ledger.New(p.rdb, 0), By: "auditor"}, j.ID)
}

// actOnLetters replays or discards some of the letters that wait.
func (w *world) actOnLetters(e event, act func(*deadletter.Queue, context.Context, *deadletter.Selection, deadletter.Order) (deadletter.Done, error)) {
	w.people.Go(func() {
		w.again("acts on letters", func() error {
			p, end := w.somebody("operator")
			defer end()
			l := ledger.New(p.rdb, 0)
			q := deadletter.New(p.rdb, l)
			filter := deadletter.Filter{JobIDs: []string{w.plan.jobs[e.pick%uint64(len(w.plan.jobs))].ID}}
			chosen, err := q.Select(p.alive, filter)
			if err != nil || chosen.Letters() == 0 {
				return err
			}
			// What is thrown away is not missed at the end, even if the order was cut off half-way.
			letters, err := promises.Letters(w.inspector)
			if err != nil {
				return err
			}
			w.mu.Lock()
			for _, j := range w.plan.jobs {
				for pr := range letters[j.ID] {
					j.Discarded[pr] = true
				}
			}
			w.mu.Unlock()
			_, err = act(q, p.alive, chosen, deadletter.Order{By: "operator", Why: "history"})
			return err
		})
	})
}

// mendUser puts a user right at DingTalk and has every dead letter tried again, as "Run" in asynq's web UI does.
func mendUser(w *world, _ event) {
	for user := range w.plan.bad {
		w.mu.Lock()
		w.mended[user] = true
		w.mu.Unlock()
		w.sim.SetUser(simulator.Accepted, user)
	}
	w.tryLetters()
}

// tryLetters has every dead letter tried again.
func (w *world) tryLetters() {
	w.tamper(func(i *asynq.Inspector) { _, _ = i.RunAllScheduledTasks(tasks.QueueDeadLetter) })
}

// tamper does something in asynq's web UI, once.
func (w *world) tamper(do func(*asynq.Inspector)) {
	w.people.Go(func() {
		p, end := w.somebody("tamperer")
		defer end()
		do(asynq.NewInspectorFromRedisClient(p.rdb))
	})
}

func deleteTask(w *world, e event) {
	w.tamper(func(i *asynq.Inspector) {
		queue := tasks.Lanes()[e.pick%3]
		if info := someTask(queue, e.pick, i.ListPendingTasks, i.ListRetryTasks, i.ListScheduledTasks); info != nil && known(w, info.ID) {
			_ = i.DeleteTask(queue, info.ID)
		}
	})
}

// known reports whether the ledger knows the job of a task: one that was put straight into the queue and deleted again is
// gone, and nobody else has heard of it.
func known(w *world, id string) bool {
	jobID, _ := tasks.SplitAnyTaskID(id)
	_, err := w.ledger.Get(w.ctx, jobID)
	return err == nil
}

func archiveTask(w *world, e event) {
	w.tamper(func(i *asynq.Inspector) {
		queue := tasks.Lanes()[e.pick%3]
		if info := someTask(queue, e.pick, i.ListPendingTasks, i.ListRetryTasks); info != nil {
			w.mu.Lock()
			w.archived = true
			w.mu.Unlock()
			_ = i.ArchiveTask(queue, info.ID)
		}
	})
}

// someTask picks a task of the queue in one of the states.
func someTask(queue string, pick uint64, states ...func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error)) *asynq.TaskInfo {
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

// epoch is when the time of every bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
