package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

// retention is what the tests' ledgers keep records for.
const retention = 48 * time.Hour

// world is a Redis, a DingTalk and the dead-letter queue of one test.
type world struct {
	testing.TB
	rdb    *redis.Client
	sim    *simtest.Server
	ledger *ledger.Ledger
	queue  *deadletter.Queue
	asynq  *asynq.Client
}

func newWorld(t testing.TB, rdb *redis.Client, opt simulator.Options) *world {
	t.Helper()
	l := ledger.New(rdb, retention)
	return &world{TB: t, rdb: rdb, sim: simtest.Start(t, opt), ledger: l, queue: deadletter.New(rdb, l),
		asynq: asynq.NewClientFromRedisClient(rdb)}
}

// work starts a worker; the function ends it and waits, and so does the test's end.
func (w *world) work() (stop func()) {
	w.Helper()
	c := enginetest.Config(w.sim)
	c.Retention = retention
	_, stop = enginetest.Start(w.TB, c, app.Parts{Redis: w.rdb})
	return stop
}

func (w *world) submit(jobID string, users []string, roles []int64) {
	w.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: w.rdb, Retention: retention})
	if err != nil {
		w.Fatal(err)
	}
	removals, err := enqueue.FromLists(users, roles)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := client.Submit(w.Context(), enqueue.Submission{JobID: jobID, Removals: removals, MaxUsers: -1}); err != nil {
		w.Fatal(err)
	}
}

// until waits until the job's record is as asked for; its numbers add up all the while.
func (w *world) until(jobID, what string, is func(ledger.Job) bool) ledger.Job {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var last ledger.Job
	for {
		job, err := w.ledger.Get(ctx, jobID)
		var unknown *ledger.NotFoundError
		if err != nil && !errors.As(err, &unknown) {
			w.Fatalf("job %s never was %s, but %+v: %v", jobID, what, last, err)
		}
		if err == nil {
			last = job
			if p := job.Pairs; p.Removed+p.Dead+p.Cancelled+p.Pending != p.Total || p.Pending < 0 {
				w.Fatalf("job %s: %+v does not add up", jobID, p)
			}
			if is(job) {
				return job
			}
		}
		<-tick.C
	}
}

func (w *world) finished(jobID string) ledger.Job {
	w.Helper()
	return w.until(jobID, "finished", func(j ledger.Job) bool { return j.State.Finished() })
}

// still waits until no letter is in motion.
func (w *world) still() {
	w.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 20_000 {
		c, err := w.queue.Counts(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		if c.InMotion() == 0 {
			return
		}
		<-tick.C
	}
	w.Fatal("letters are in motion for ever")
}

func (w *world) letters(f deadletter.Filter) []deadletter.Letter {
	w.Helper()
	var letters []deadletter.Letter
	if err := w.queue.Each(w.Context(), f, func(l deadletter.Letter) error {
		letters = append(letters, l)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	return letters
}

// put sets n letters of a job apart that the ledger counts as dead, one user each, as a worker does.
func (w *world) put(jobID string, n int) {
	w.Helper()
	const perBatch = 100
	for from := 0; from < n; from += perBatch {
		part := &tasks.Part{JobID: jobID, Part: fmt.Sprint(from / perBatch), RoleIDs: []int64{1507113578}}
		for i := from; i < min(n, from+perBatch); i++ {
			part.UserIDs = append(part.UserIDs, fmt.Sprintf("user%06d", i))
		}
		claims, err := w.ledger.Claim(w.Context(), ledger.Request{Part: part, Lane: tasks.QueueBulk})
		if err != nil {
			w.Fatal(err)
		}
		if _, err := w.ledger.Settle(w.Context(), claims[0], ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Dead,
			Reason: tasks.ReasonInvalidUser, ErrCode: 33012, At: failedAt}}); err != nil {
			w.Fatal(err)
		}
		var writing sync.WaitGroup
		for i, user := range part.UserIDs {
			writing.Go(func() {
				w.putLetter(&tasks.Part{JobID: jobID, Part: tasks.UserLetter(part.Part, i), RoleIDs: part.RoleIDs, UserIDs: []string{user},
					Failure: &tasks.Failure{Reason: tasks.ReasonInvalidUser, ErrCode: 33012, ErrMsg: "invalid userid", RequestID: "req",
						Attempts: 1, FailedAt: failedAt, Queue: tasks.QueueBulk}})
			})
		}
		writing.Wait()
	}
}

var failedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (w *world) putLetter(p *tasks.Part) {
	w.Helper()
	if fresh, err := producer.EnqueueLetter(context.Background(), w.asynq, p, p.TaskID()); err != nil || !fresh {
		w.Errorf("letter %s: %v, %v", p.TaskID(), fresh, err)
	}
}

// audit are the entries of a job's audit trail of one event, as JSON.
func (w *world) audit(jobID string) []string {
	w.Helper()
	entries, err := w.rdb.XRange(w.Context(), "unrole:job:{"+jobID+"}:audit", "-", "+").Result()
	if err != nil {
		w.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Values["entry"].(string))
	}
	return list
}
