package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// deadLetter sets the open pairs of a rectangle of a task apart, nil meaning all users or all roles: first the letter is
// enqueued, then the ledger counts, so that a crash in between repeats both and loses neither.
func (w *Worker) deadLetter(t *task, about pairs.Rectangle, f tasks.Failure) error {
	c := t.claim
	within := pairs.SizeOf(c.Part).Whole()
	if about.Users != nil {
		within.Users = about.Users
	}
	if about.Roles != nil {
		within.Roles = about.Roles
	}
	open := c.Open().Within(within)
	if !open.Any() {
		return nil
	}
	letter := cutOut(c.Part, open)
	f.Queue = tasks.Lanes()[t.lane]
	f.Attempts = max(f.Attempts, 1)
	if old := c.Part.Failure; old != nil {
		f.Attempts += old.Attempts
	}
	letter.Failure = &f
	letter.Part = letterName(c, about)
	if err := w.putLetter(t.id, letter); err != nil {
		return err
	}
	t.log.Warn().Str("letter", letter.Part).Str("reason", string(f.Reason)).Int("errcode", f.ErrCode).Str("sub_code", f.SubCode).
		Str("errmsg", f.ErrMsg).Str("request_id", f.RequestID).Strs("users", firstFew(letter.UserIDs)).
		Ints64("roles", letter.RoleIDs).Msg("dead letter")
	return w.settle(t, open, ledger.Outcome{Kind: ledger.Dead, Letter: letter.Part, Reason: f.Reason, ErrCode: f.ErrCode, SubCode: f.SubCode,
		ErrMsg: f.ErrMsg, RequestID: f.RequestID, Attempts: f.Attempts, At: f.FailedAt})
}

// setAside makes one dead letter of everything that is open.
func (w *Worker) setAside(t *task, f tasks.Failure) error {
	if c := t.claim; c.Part.Failure != nil {
		// A letter that was made due and not begun yet has dead pairs; they are its own and go with it.
		if err := w.settle(t, c.Dead(), ledger.Outcome{Kind: ledger.Pending, Letter: c.Part.Part}); err != nil {
			return err
		}
	}
	return w.deadLetter(t, pairs.Rectangle{}, f)
}

// letterName names a letter by its place in the batch, always the same for the same id: the letter of a letter is its
// next generation.
func letterName(c *ledger.Claim, about pairs.Rectangle) string {
	batch := tasks.BatchName(c.Part.Part)
	u, r := pairs.User(-1), pairs.Role(-1)
	if len(about.Users) == 1 {
		u, _ = c.InBatch(about.Users[0], 0)
	}
	if len(about.Roles) == 1 {
		_, r = c.InBatch(0, about.Roles[0])
	}
	name := tasks.WholeLetter(batch)
	switch {
	case u >= 0 && r >= 0:
		name = tasks.PairLetter(batch, int(u), int(r))
	case u >= 0:
		name = tasks.UserLetter(batch, int(u))
	case r >= 0:
		name = tasks.RoleLetter(batch, int(r))
	}
	if c.Part.Failure != nil {
		return tasks.WithGeneration(name, tasks.Generation(c.Part.Part)+1)
	}
	return name
}

// putLetter enqueues a letter. If its name is taken by a letter that holds the same pairs it is there already; by
// another one, or by the task that is just running, the letter takes the next generation.
func (w *Worker) putLetter(running string, letter *tasks.Part) error {
	return w.persist(func(ctx context.Context) error {
		for {
			id := letter.TaskID()
			if id != running {
				fresh, err := producer.EnqueueLetter(ctx, w.client, letter, id)
				if err != nil || fresh {
					return err
				}
				have, err := w.letterAt(id)
				if err != nil {
					return err
				}
				if have != nil && covers(have, letter) {
					return nil
				}
			}
			letter.Part = tasks.NextGeneration(letter.Part)
		}
	})
}

// letterAt reads a task of the dead-letter queue; nil if there is none or it cannot be read.
func (w *Worker) letterAt(id string) (*tasks.Part, error) {
	info, err := w.inspector.GetTaskInfo(tasks.QueueDeadLetter, id)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at dead letter %s: %w", id, err)
	}
	p, err := tasks.Decode(info.Payload)
	if err != nil {
		return nil, nil
	}
	return p, nil
}

// covers reports whether every pair that b owns is one that a owns.
func covers(a, b *tasks.Part) bool {
	for user, role := range b.EachOwned() {
		u, r := slices.Index(a.UserIDs, user), slices.Index(a.RoleIDs, role)
		if u < 0 || r < 0 || !a.Own.Has(pairs.SizeOf(a).Number(pairs.User(u), pairs.Role(r))) {
			return false
		}
	}
	return true
}

// cutOut is a part of some pairs of p, without a name.
func cutOut(p *tasks.Part, some pairs.Set) *tasks.Part {
	hull := some.Hull()
	cut := &tasks.Part{JobID: p.JobID, Own: some.Owned(hull)}
	for _, u := range hull.Users {
		cut.UserIDs = append(cut.UserIDs, p.UserIDs[u])
	}
	for _, r := range hull.Roles {
		cut.RoleIDs = append(cut.RoleIDs, p.RoleIDs[r])
	}
	return cut
}

// keepLetter puts a letter back that was made due although its job is cancelled. Pairs that it had opened before the
// cancel are dead no more, and not its own any longer.
func (w *Worker) keepLetter(t *task) error {
	old := t.claim.Part
	dead := t.claim.Dead()
	if !dead.Any() {
		return nil
	}
	letter := cutOut(old, dead)
	letter.Failure, letter.Part = old.Failure, tasks.NextGeneration(old.Part)
	t.log.Warn().Str("letter", letter.Part).Msg("the job is cancelled: the dead letter is not tried again")
	if err := w.putLetter(t.id, letter); err != nil {
		return err
	}
	f := letter.Failure
	return w.settle(t, dead, ledger.Outcome{Kind: ledger.Dead, Letter: letter.Part, Reason: f.Reason, ErrCode: f.ErrCode,
		SubCode: f.SubCode, ErrMsg: f.ErrMsg, RequestID: f.RequestID, Attempts: f.Attempts, At: f.FailedAt})
}

// unreadable sets a task apart whose payload this build does not understand. The payload is kept as it is.
func (w *Worker) unreadable(ctx context.Context, id, queue string, payload []byte, why error) error {
	jobID, part := tasks.SplitAnyTaskID(id)
	letter := &tasks.Part{JobID: jobID, Part: tasks.WholeLetter(tasks.BatchName(part)), Failure: &tasks.Failure{
		Reason: tasks.ReasonBadPayload, ErrMsg: why.Error(), Attempts: 1, FailedAt: time.Now(), Queue: queue, Payload: payload}}
	if !tasks.IsLane(queue) {
		letter.Failure.Queue = tasks.QueueDefault
	}
	return w.putUnreadable(ctx, id, letter, why)
}

func (w *Worker) putUnreadable(ctx context.Context, id string, letter *tasks.Part, why error) error {
	name := id
	for {
		fresh, err := producer.EnqueueLetter(ctx, w.client, letter, name)
		if err != nil {
			return &later{after: 5 * time.Second, why: err.Error()}
		}
		if fresh {
			break
		}
		have, err := w.letterAt(name)
		if err != nil {
			return &later{after: 5 * time.Second, why: err.Error()}
		}
		if have != nil && have.Failure != nil && name != id && slices.Equal(have.Failure.Payload, letter.Failure.Payload) {
			break
		}
		name = tasks.NextGeneration(name)
	}
	w.log.Error().Str("task", id).Str("letter", name).Err(why).Msg("dead letter: the payload cannot be read")
	return nil
}

// rereadable tries a payload again that could not be read: an older worker may have met a newer producer.
func (w *Worker) rereadable(ctx context.Context, id string, letter *tasks.Part) error {
	f := *letter.Failure
	part, err := tasks.Decode(f.Payload)
	if err != nil {
		f.Attempts++
		f.FailedAt, f.ErrMsg = time.Now(), err.Error()
		next := *letter
		next.Failure = &f
		return w.putUnreadable(ctx, tasks.NextGeneration(id), &next, err)
	}
	if err := producer.Enqueue(ctx, w.client, []tasks.Part{*part}, f.Queue, time.Time{}); err != nil {
		return &later{after: 5 * time.Second, why: err.Error()}
	}
	w.log.Info().Str("task", id).Str("job", part.JobID).Str("part", part.Part).Msg("the payload can be read now: the task is back in its lane")
	return nil
}

// firstFew keeps log lines short.
func firstFew(ids []string) []string { return ids[:min(len(ids), 5)] }
