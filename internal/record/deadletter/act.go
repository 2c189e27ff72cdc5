package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Selection is a set of letters that somebody wants to act on, as it was when it was chosen.
type Selection struct {
	// InMotion are letters named by id that are being tried again already; nothing is done with them.
	InMotion []string

	jobs []jobLetters // by job id
}

// jobLetters are the chosen letters of one job.
type jobLetters struct {
	jobID string
	ids   []string
	part  string // of the first
	pairs int
}

// Letters counts what was chosen.
func (s *Selection) Letters() int {
	return s.sum(func(j jobLetters) int { return len(j.ids) })
}

// Pairs counts the pairs that the chosen letters stand for.
func (s *Selection) Pairs() int { return s.sum(func(j jobLetters) int { return j.pairs }) }

// Share is how much of a selection belongs to one job.
type Share struct {
	JobID          string
	Letters, Pairs int
}

// Shares divides the selection by job, in the order of the letters.
func (s *Selection) Shares() []Share {
	shares := make([]Share, len(s.jobs))
	for i, j := range s.jobs {
		shares[i] = Share{JobID: j.jobID, Letters: len(j.ids), Pairs: j.pairs}
	}
	return shares
}

// Jobs lists the jobs of the chosen letters.
func (s *Selection) Jobs() []string {
	ids := make([]string, len(s.jobs))
	for i, j := range s.jobs {
		ids[i] = j.jobID
	}
	return ids
}

func (s *Selection) sum(of func(jobLetters) int) int {
	n := 0
	for _, j := range s.jobs {
		n += of(j)
	}
	return n
}

func (s *Selection) add(at map[string]int, l *Letter) {
	i, ok := at[l.JobID]
	if !ok {
		i = len(s.jobs)
		at[l.JobID] = i
		s.jobs = append(s.jobs, jobLetters{jobID: l.JobID, part: l.Part})
	}
	s.jobs[i].ids = append(s.jobs[i].ids, l.ID)
	s.jobs[i].pairs += l.Pairs
}

// Select chooses the waiting letters that match the filter, and remembers their ids.
func (q *Queue) Select(ctx context.Context, f Filter) (*Selection, error) {
	s := &Selection{}
	at := map[string]int{}
	err := q.Each(ctx, f, func(l Letter) error {
		s.add(at, &l)
		return nil
	})
	return s, err
}

// SelectIDs chooses letters by their ids. An id that does not exist gives a *NotFoundError.
func (q *Queue) SelectIDs(ctx context.Context, ids []string) (*Selection, error) {
	ids = slices.Compact(slices.SortedFunc(slices.Values(ids), compareIDs))
	s := &Selection{}
	at := map[string]int{}
	for chunk := range slices.Chunk(ids, page) {
		letters, err := q.read(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for i, l := range letters {
			switch {
			case l == nil:
				return nil, &NotFoundError{ID: chunk[i]}
			case l.State != Waiting:
				s.InMotion = append(s.InMotion, l.ID)
			default:
				s.add(at, l)
			}
		}
	}
	return s, nil
}

// WithoutCancelled takes the letters of cancelled jobs out of the selection, which may not be tried again, and returns
// them as a selection of their own.
func (q *Queue) WithoutCancelled(ctx context.Context, s *Selection) (*Selection, error) {
	cancelled, err := q.ledger.CancelledJobs(ctx, s.Jobs())
	if err != nil {
		return nil, err
	}
	out := &Selection{}
	s.jobs = slices.DeleteFunc(s.jobs, func(j jobLetters) bool {
		if cancelled[j.jobID] {
			out.jobs = append(out.jobs, j)
		}
		return cancelled[j.jobID]
	})
	return out, nil
}

// Order says who decided, and why.
type Order struct {
	By, Why string
	// Progress, when set, is told how many letters are done. It is called from several goroutines.
	Progress func(done int)
}

// Done is what came of an order.
type Done struct {
	// Letters were made due, or discarded.
	Letters int
	// Passed were left alone: somebody else acted on them since they were chosen.
	Passed int
	// Cancelled are jobs that were cancelled since they were chosen; their letters wait on.
	Cancelled []string
	// Expiring counts the jobs whose last letter is gone, so that their records vanish after the retention.
	Expiring int
}

// Replay makes the chosen letters due, so that workers try them again for their own jobs; who asked and why goes into
// each job's audit first. It waits for nothing. Letters that are due already, or gone, are passed over, so that the
// same call completes one that was interrupted; the error of that one goes with what was done.
func (q *Queue) Replay(ctx context.Context, s *Selection, o Order) (Done, error) {
	return q.carryOut(ctx, s, o, ledger.EventReplayed, q.inspector.RunTask)
}

// Discard gives the chosen letters up: they are deleted, and their pairs stay counted as dead. Who decided and why goes
// into each job's audit first. The record of a finished job whose last letter is gone vanishes after the retention.
func (q *Queue) Discard(ctx context.Context, s *Selection, o Order) (Done, error) {
	if o.Why == "" {
		return Done{}, errors.New("discard dead letters: a reason is required")
	}
	done, err := q.carryOut(ctx, s, o, ledger.EventDiscarded, q.inspector.DeleteTask)
	if err != nil {
		return done, err
	}
	done.Expiring, err = q.Expire(ctx, s.Jobs())
	return done, err
}

func (q *Queue) carryOut(ctx context.Context, s *Selection, o Order, event ledger.Event, act func(queue, id string) error) (Done, error) {
	var letters, passed atomic.Int64
	standing := make([]ledger.Standing, len(s.jobs))
	result := func() Done {
		d := Done{Letters: int(letters.Load()), Passed: int(passed.Load())}
		for i, j := range s.jobs {
			if standing[i] == ledger.JobCancelled {
				d.Cancelled = append(d.Cancelled, j.jobID)
			}
		}
		return d
	}
	// A slice of the jobs at a time: what is recorded and then not done, should this process die, stays small.
	for from, to := 0, 0; from < len(s.jobs); from = to {
		for n := 0; to < len(s.jobs) && n < page; to++ {
			n += len(s.jobs[to].ids)
		}
		now := s.jobs[from:to]
		err := q.concurrently(ctx, len(now), func(i int) (err error) {
			standing[from+i], err = q.ledger.RecordLetterAct(ctx, now[i].act(event, o))
			return err
		})
		if err != nil {
			return result(), err
		}
		var ids []string
		for i, j := range now {
			if standing[from+i] != ledger.JobCancelled {
				ids = append(ids, j.ids...)
			}
		}
		err = q.concurrently(ctx, len(ids), func(i int) error {
			did, err := q.actOn(ctx, ids[i], act)
			switch {
			case err != nil:
				return err
			case !did:
				passed.Add(1)
			default:
				letters.Add(1)
			}
			if o.Progress != nil {
				o.Progress(int(letters.Load() + passed.Load()))
			}
			return nil
		})
		if err != nil {
			return result(), err
		}
	}
	return result(), nil
}

func (j jobLetters) act(event ledger.Event, o Order) ledger.LetterAct {
	a := ledger.LetterAct{JobID: j.jobID, Event: event, By: o.By, Why: o.Why, Letters: len(j.ids), Pairs: int64(j.pairs)}
	if len(j.ids) == 1 {
		a.Part = j.part
	}
	return a
}

// actOn runs or deletes a letter unless it has left meanwhile.
func (q *Queue) actOn(ctx context.Context, id string, act func(queue, id string) error) (bool, error) {
	l, err := q.Get(ctx, id)
	var gone *NotFoundError
	switch {
	case errors.As(err, &gone):
		return false, nil
	case err != nil:
		return false, err
	case l.State != Waiting:
		return false, nil
	}
	err = act(tasks.QueueDeadLetter, id)
	if err == nil {
		return true, nil
	}
	// A worker, or somebody at the web UI, may have been faster; asynq has no error of its own for that.
	if l, again := q.Get(ctx, id); errors.As(again, &gone) || again == nil && l.State != Waiting {
		return false, nil
	}
	return false, fmt.Errorf("dead letter %s: %w", id, err)
}

// Expire lets the records of those jobs vanish after the retention that are finished and have no letter left, and
// returns how many these are. A job whose letters were deleted elsewhere, in the asynq web UI, is told by it too.
func (q *Queue) Expire(ctx context.Context, jobIDs []string) (int, error) {
	stamps, err := q.ledger.Stamps(ctx, jobIDs)
	if err != nil {
		return 0, err
	}
	have, err := q.jobsWithLetters(ctx)
	if err != nil {
		return 0, err
	}
	var n atomic.Int64
	bare := slices.DeleteFunc(slices.SortedFunc(slices.Values(jobIDs), cmp.Compare), func(id string) bool {
		_, known := stamps[id]
		return have[id] || !known
	})
	err = q.concurrently(ctx, len(bare), func(i int) error {
		expires, err := q.ledger.Expire(ctx, bare[i], stamps[bare[i]])
		if expires {
			n.Add(1)
		}
		return err
	})
	return int(n.Load()), err
}

// jobsWithLetters are the jobs that have a letter in any state. All states are read in one transaction, since a letter
// that is tried again moves from one to the next. It reads ids only: some 2 MB for 50,000 letters.
func (q *Queue) jobsWithLetters(ctx context.Context) (map[string]bool, error) {
	var lists []*redis.StringSliceCmd
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for _, set := range []asynq.TaskState{asynq.TaskStateScheduled, asynq.TaskStateRetry, asynq.TaskStateArchived} {
			lists = append(lists, p.ZRange(ctx, stateKey(set), 0, -1))
		}
		for _, list := range []asynq.TaskState{asynq.TaskStatePending, asynq.TaskStateActive} {
			lists = append(lists, p.LRange(ctx, stateKey(list), 0, -1))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the dead-letter queue: %w", err)
	}
	jobs := map[string]bool{}
	for _, list := range lists {
		for _, id := range list.Val() {
			jobID, _ := tasks.SplitAnyTaskID(id)
			jobs[jobID] = true
		}
	}
	return jobs, nil
}

// Wait returns when none of the chosen letters is in motion any more, as far as they were when it looked: each has
// ended, as removed or as a letter of the next generation. Between looks, interval apart, it hands the number of those
// that have ended to visit, and stops at its error.
func (q *Queue) Wait(ctx context.Context, s *Selection, interval time.Duration, visit func(ended int) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	ended := 0
	for _, j := range s.jobs {
		for _, id := range j.ids {
			for {
				l, err := q.Get(ctx, id)
				var gone *NotFoundError
				if errors.As(err, &gone) || err == nil && l.State == Waiting {
					break
				}
				if err != nil {
					return err
				}
				if err := visit(ended); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-tick.C:
				}
			}
			ended++
		}
	}
	return nil
}
