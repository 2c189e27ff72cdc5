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
	// reads are the records being read. Nobody reads one twice at a time, and nobody waits for one that is about another job.
	reads map[string]*reading
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

// reading is a record that somebody reads for all who wait for it.
type reading struct {
	over chan struct{} // closed at the end
	// forgotten: the job is to be read anew, and what is being read is not kept.
	forgotten bool
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
// that took, and after unsettledMost in any case: what took so long may have been an outage, or this process stood still.
const (
	unsettledFor   = 500 * time.Millisecond
	unsettledShare = 20
	unsettledMost  = 5 * time.Second
	// maxTurns bounds how many restores are remembered; one that is forgotten is looked at anew.
	maxTurns = 1000
	// maxLater bounds for how many jobs the later words are remembered.
	maxLater = 20
	// turnPause is how long a task waits in asynq for its turn, so that it takes no place of one whose turn it is.
	turnPause = waitedOutHere
)

func newTurns(l *ledger.Ledger) *turns {
	return &turns{ledger: l, mu: wait.NewLock(), reads: map[string]*reading{}, laterMu: wait.NewLock(), removals: map[string][]string{}, unsettled: map[string]*unsettled{}, due: map[string]bool{}, later: map[string]*words{}}
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
	known := func() bool {
		have, known := t.removals[restore]
		ids = have
		return known && !anew
	}
	done, read, err := t.toRead(ctx, "before "+restore, known)
	if !read {
		return ids, err
	}
	defer done(func(bool) {
		if err != nil {
			return
		}
		if len(t.removals) >= maxTurns {
			clear(t.removals)
		}
		t.removals[restore] = ids
	})
	ids = nil
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
	return ids, nil
}

// toRead returns once what known looks for, under the lock, is there, or once it is for the caller to read: then done is to be
// called with what keeps it, which runs under the lock and is told whether it is not to be read anew already.
func (t *turns) toRead(ctx context.Context, what string, known func() bool) (done func(keep func(fresh bool)), read bool, err error) {
	for {
		t.mu.Lock()
		if known() {
			t.mu.Unlock()
			return nil, false, nil
		}
		r := t.reads[what]
		if r == nil {
			r = &reading{over: make(chan struct{})}
			t.reads[what] = r
			t.mu.Unlock()
			return func(keep func(bool)) {
				t.mu.Lock()
				defer t.mu.Unlock()
				keep(!r.forgotten)
				delete(t.reads, what)
				close(r.over)
			}, true, nil
		}
		t.mu.Unlock()
		select {
		case <-r.over:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// of are the pairs that calls of the job may still be about, or might have been a moment ago.
func (t *turns) of(ctx context.Context, jobID string) (pairs map[string][]int64, err error) {
	now := time.Now()
	done, read, err := t.toRead(ctx, jobID, func() bool {
		for id, p := range t.unsettled {
			if now.Sub(p.read) > p.lasts {
				delete(t.unsettled, id)
			}
		}
		p := t.unsettled[jobID]
		if p != nil {
			pairs = p.pairs
		}
		return p != nil
	})
	if !read {
		return pairs, err
	}
	began := time.Now()
	defer done(func(fresh bool) {
		if at := time.Now(); err == nil && fresh {
			t.unsettled[jobID] = &unsettled{pairs: pairs, read: at, lasts: lasting(at.Sub(began))}
		}
	})
	return t.ledger.Unsettled(ctx, jobID)
}

// lasting is how long pairs are taken for true whose reading took so long.
func lasting(reading time.Duration) time.Duration {
	return min(unsettledMost, max(unsettledFor, unsettledShare*reading))
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
	if r := t.reads[jobID]; r != nil {
		r.forgotten = true
	}
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
