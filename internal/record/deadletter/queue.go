package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Queue is the dead-letter queue. It is safe for concurrent use, also with workers that take letters out and put new
// ones in.
type Queue struct {
	rdb       redis.UniversalClient
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
}

// New returns the queue in rdb, whose jobs are in l.
func New(rdb redis.UniversalClient, l *ledger.Ledger) *Queue {
	return &Queue{rdb: rdb, ledger: l, inspector: asynq.NewInspectorFromRedisClient(rdb)}
}

// NotFoundError says that the queue has no such letter.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *NotFoundError) Unwrap() error {
	return texts.T("no dead letter %s: it was tried again or discarded since, or it never existed; "+
		"unrole deadletter list shows the ids", e.ID)
}

const (
	// page is how many letters are read at a time.
	page = 512
	// parallel requests fill the round trips to Redis.
	parallel = 16
)

// stateKey is where asynq keeps the ids of the letters in a state. asynq's own pages are cut by rank: a letter that
// leaves while somebody turns the pages makes them skip another one.
func stateKey(s asynq.TaskState) string { return queue.StateKey(tasks.QueueDeadLetter, s) }

// Each calls visit for the waiting letters that the filter chooses, ordered by job and part. It holds the ids of all in
// memory, and the letters themselves a page at a time. A letter that waits from the beginning to the end is visited
// exactly once; one that comes or goes meanwhile at most once. It stops at the first error.
func (q *Queue) Each(ctx context.Context, f Filter, visit func(Letter) error) error {
	ids, err := q.waiting(ctx, f)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(ids, page) {
		letters, err := q.read(ctx, chunk)
		if err != nil {
			return err
		}
		for _, l := range letters {
			if l == nil || l.State != Waiting || !f.matches(l) {
				continue
			}
			if err := visit(*l); err != nil {
				return err
			}
		}
	}
	return nil
}

// waiting lists the ids of the waiting letters that the filter may choose.
func (q *Queue) waiting(ctx context.Context, f Filter) ([]string, error) {
	var ids []string
	for cursor := uint64(0); ; {
		found, next, err := q.rdb.ZScan(ctx, stateKey(asynq.TaskStateScheduled), cursor, "", 1000).Result()
		if err != nil {
			return nil, fmt.Errorf("read the dead-letter queue: %w", err)
		}
		for i := 0; i < len(found); i += 2 { // each id is followed by its score
			if f.mayMatch(found[i]) {
				ids = append(ids, found[i])
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids), nil // a scan may name an id twice
}

// read looks letters up; those that are gone are nil.
func (q *Queue) read(ctx context.Context, ids []string) ([]*Letter, error) {
	letters := make([]*Letter, len(ids))
	err := q.concurrently(ctx, len(ids), func(i int) error {
		l, err := q.Get(ctx, ids[i])
		var gone *NotFoundError
		if err == nil {
			letters[i] = &l
		} else if !errors.As(err, &gone) {
			return err
		}
		return nil
	})
	return letters, err
}

func (q *Queue) concurrently(ctx context.Context, n int, do func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range n {
		g.Go(func() error {
			// asynq's inspector takes no context.
			if err := ctx.Err(); err != nil {
				return err
			}
			return do(i)
		})
	}
	return g.Wait()
}

// Get returns the letter of that id, whatever its state, or a *NotFoundError.
func (q *Queue) Get(_ context.Context, id string) (Letter, error) {
	info, err := q.inspector.GetTaskInfo(tasks.QueueDeadLetter, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		return Letter{}, &NotFoundError{ID: id}
	case err != nil:
		return Letter{}, fmt.Errorf("read dead letter %s: %w", id, err)
	}
	return letterOf(info), nil
}

// Counts are the letters by what they do.
type Counts struct{ Waiting, Due, Running, Retrying int }

// InMotion counts the letters that are being tried again.
func (c Counts) InMotion() int { return c.Due + c.Running + c.Retrying }

// Counts counts the letters of all jobs.
func (q *Queue) Counts(ctx context.Context) (Counts, error) {
	var waiting, due, running, retrying *redis.IntCmd
	_, err := q.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		waiting, retrying = p.ZCard(ctx, stateKey(asynq.TaskStateScheduled)), p.ZCard(ctx, stateKey(asynq.TaskStateRetry))
		due, running = p.LLen(ctx, stateKey(asynq.TaskStatePending)), p.LLen(ctx, stateKey(asynq.TaskStateActive))
		return nil
	})
	if err != nil {
		return Counts{}, fmt.Errorf("count the dead letters: %w", err)
	}
	return Counts{Waiting: int(waiting.Val()), Due: int(due.Val()), Running: int(running.Val()), Retrying: int(retrying.Val())}, nil
}
