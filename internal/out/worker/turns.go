package worker

import (
	"context"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// turns keeps the order of what was said about a pair. A removal and a restore that share one never overtake each other: a
// task waits until no call of a job of the other action, whose turn is before its own, can be about one of its pairs any
// more. So whatever was said last is what holds. All tasks of a fleet pass here, since one worker at a time has them.
type turns struct {
	ledger *ledger.Ledger

	mu wait.Lock
	// removals are those that have their turn before a restore, by the restore. They are looked for once, when the first task of
	// the restore comes: what is submitted later has its turn later.
	removals  map[string][]string
	unsettled map[string]*unsettled
	// due are the jobs with a time of their own that have begun.
	due map[string]bool

	// later are the last words since the jobs whose dead letters are tried again. They are read from all records, and only such
	// letters wait for that.
	laterMu wait.Lock
	later   map[string]*words
}

// words are what jobs that had their turn later said about the pairs of a job, when they were read.
type words struct {
	by    ledger.Words
	began time.Time
}

// unsettled are the pairs that calls of a job could still be about when they were read.
type unsettled struct {
	pairs map[string][]int64
	read  time.Time
	// lasts is how long they are taken for true: they only become fewer, unless a dead letter is tried again; see forget.
	lasts time.Duration
}

// The pairs of a job that others wait for are read anew after unsettledFor, of a large job after unsettledShare times as long as
// that took.
const (
	unsettledFor   = 500 * time.Millisecond
	unsettledShare = 20
	// maxTurns bounds how many restores are remembered; one that is forgotten is looked at anew.
	maxTurns = 1000
	// maxLater bounds for how many jobs the later words are remembered.
	maxLater = 20
	// turnPause is how long a task waits in asynq for its turn, so that it takes no place of one whose turn it is.
	turnPause = waitedOutHere
)

func newTurns(l *ledger.Ledger) *turns {
	return &turns{ledger: l, mu: wait.NewLock(), laterMu: wait.NewLock(), removals: map[string][]string{}, unsettled: map[string]*unsettled{}, due: map[string]bool{}, later: map[string]*words{}}
}

// before is a job that the task has to wait for; empty where none has its turn before.
func (t *turns) before(ctx context.Context, part *tasks.Part) (string, error) {
	jobs, err := t.earlier(ctx, part)
	if err != nil {
		return "", err
	}
	for _, id := range jobs {
		pairs, err := t.of(ctx, id)
		if err != nil {
			return "", err
		}
		for user, role := range part.EachPair() {
			if slices.Contains(pairs[user], role) {
				return id, nil
			}
		}
	}
	return "", nil
}

// earlier lists the jobs of the other action that are not over and have their turn before the part's.
func (t *turns) earlier(ctx context.Context, part *tasks.Part) ([]string, error) {
	if part.Action == tasks.Add {
		return t.removalsBefore(ctx, part.JobID, part.Failure != nil)
	}
	restores, err := t.ledger.Restores(ctx)
	if err != nil || len(restores) == 0 {
		return nil, err
	}
	own, err := t.ledger.Get(ctx, part.JobID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, r := range restores {
		if r.Awaiting == "" && r.Before(own) {
			ids = append(ids, r.JobID)
		}
	}
	return ids, nil
}

// removalsBefore lists them; anew where a dead letter of an earlier job may have opened that one again.
func (t *turns) removalsBefore(ctx context.Context, restore string, anew bool) (ids []string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ids, known := t.removals[restore]; known && !anew {
		return ids, nil
	}
	own, err := t.ledger.Get(ctx, restore)
	if err != nil {
		return nil, err
	}
	for job, err := range t.ledger.Open(ctx) {
		if err != nil {
			return nil, err
		}
		if job.Action == tasks.Remove && !job.Planning && job.Awaiting == "" && job.Before(own) {
			ids = append(ids, job.JobID)
		}
	}
	if len(t.removals) >= maxTurns {
		clear(t.removals)
	}
	t.removals[restore] = ids
	return ids, nil
}

// of are the pairs that calls of the job may still be about, or might have been a moment ago.
func (t *turns) of(ctx context.Context, jobID string) (map[string][]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for id, p := range t.unsettled {
		if now.Sub(p.read) > p.lasts {
			delete(t.unsettled, id)
		}
	}
	if p := t.unsettled[jobID]; p != nil {
		return p.pairs, nil
	}
	pairs, err := t.ledger.Unsettled(ctx, jobID)
	if err != nil {
		return nil, err
	}
	read := time.Now()
	t.unsettled[jobID] = &unsettled{pairs: pairs, read: read, lasts: max(unsettledFor, unsettledShare*read.Sub(now))}
	return pairs, nil
}

// begin has whatever is submitted from now on come after a job whose time has come: its tasks are not alone by then.
func (t *turns) begin(ctx context.Context, jobID string, at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.due[jobID] {
		return nil
	}
	if err := t.ledger.Due(ctx, at); err != nil {
		return err
	}
	if len(t.due) >= maxTurns {
		clear(t.due)
	}
	t.due[jobID] = true
	return nil
}

// since is what later jobs said about the pairs of a job, read after a moment: letters that are tried again together share
// what is read.
func (t *turns) since(ctx context.Context, jobID string, moment time.Time) (ledger.Words, error) {
	t.laterMu.Lock()
	defer t.laterMu.Unlock()
	if l := t.later[jobID]; l != nil && l.began.After(moment) {
		return l.by, nil
	}
	began := time.Now()
	by, err := t.ledger.Later(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if len(t.later) >= maxLater {
		clear(t.later)
	}
	t.later[jobID] = &words{by, began}
	return by, nil
}

// forget has the pairs of a job read anew: a dead letter of it is tried again.
func (t *turns) forget(jobID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.unsettled, jobID)
}

// takeTurn returns nil when it is the task's turn, or it has nothing open any more.
func (v *visit) takeTurn(ctx context.Context) error {
	if at := v.claim.At; !at.IsZero() {
		if err := v.w.turns.begin(ctx, v.part.JobID, at); err != nil {
			return err
		}
	}
	if v.part.Failure != nil && !v.yielded {
		if err := v.yield(ctx); err != nil || !v.open() {
			return err
		}
	}
	v.w.other(v.api).witnesses.drop(v.part)
	job, err := v.w.turns.before(ctx, v.part)
	switch {
	case err != nil:
		return err
	case job != "":
		return later(turnPause, "its turn comes after job "+job+", which is about the same pairs")
	case v.w.other(v.api).isAbout(v.part):
		return later(turnPause, "its turn comes after a search that is about the same pairs")
	}
	return nil
}

// yield puts the pairs of a dead letter that is tried again apart anew that a later job of the other action did something with, or
// is about to: what was said last holds. The letter's pairs are open by now, so a job that comes later still waits for them.
func (v *visit) yield(ctx context.Context) error {
	since, err := v.w.turns.since(ctx, v.part.JobID, time.Now())
	if err != nil {
		return err
	}
	v.yielded = true
	v.mu.Lock()
	defer v.mu.Unlock()
	open := v.claim.Open()
	var gone []pairs.Pair
	count, last := 0, ""
	for u, r := range open.Hull().All() {
		if !open.Has(u, r) {
			continue
		}
		count++
		if by := since[v.part.UserIDs[u]][v.part.RoleIDs[r]].JobID; by != "" {
			gone, last = append(gone, pairs.Pair{User: u, Role: r}), by
		}
	}
	if gone == nil {
		return nil
	}
	f := *v.part.Failure
	did := "gave the role back"
	if v.part.Action == tasks.Add {
		did = "removed the role"
	}
	f.ErrMsg = "not tried again: job " + last + ", which came later, " + did
	if len(gone) == count {
		return v.deadLetter(pairs.Rectangle{}, f)
	}
	for _, p := range gone {
		f := f
		f.ErrMsg = "not tried again: job " + since[v.part.UserIDs[p.User]][v.part.RoleIDs[p.Role]].JobID + ", which came later, " + did
		if err := v.deadLetter(pairs.Rectangle{Users: []pairs.User{p.User}, Roles: []pairs.Role{p.Role}}, f); err != nil {
			return err
		}
	}
	return nil
}
