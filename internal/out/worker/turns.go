package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// turns keeps the order of what was said about a pair. A removal and a restore that share one never overtake each other: a
// task waits until no call of a job of the other action, whose turn is before its own, can be about one of its pairs any
// more. So whatever was said last is what holds. All tasks of a fleet pass here, since one worker at a time has them.
type turns struct {
	ledger *ledger.Ledger

	mu sync.Mutex
	// removals are those that have their turn before a restore, by the restore. They are looked for once, when the first task of
	// the restore comes: what is submitted later has its turn later.
	removals  map[string][]string
	unsettled map[string]*unsettled
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
	// turnPause is how long a task waits in asynq for its turn, so that it takes no place of one whose turn it is.
	turnPause = waitedOutHere
)

func newTurns(l *ledger.Ledger) *turns {
	return &turns{ledger: l, removals: map[string][]string{}, unsettled: map[string]*unsettled{}}
}

// before is a job that the task has to wait for; empty where none has its turn before. A dead letter that is tried again waits
// for nobody: it is what somebody said just now.
func (t *turns) before(ctx context.Context, part *tasks.Part) (string, error) {
	if part.Failure != nil {
		return "", nil
	}
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
		return t.removalsBefore(ctx, part.JobID)
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

func (t *turns) removalsBefore(ctx context.Context, restore string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids, known := t.removals[restore]
	if known {
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

// forget has the pairs of a job read anew: a dead letter of it is tried again.
func (t *turns) forget(jobID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.unsettled, jobID)
}

// takeTurn returns nil when it is the task's turn.
func (v *visit) takeTurn(ctx context.Context) error {
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
