// Package fleet reads what stands in the queues and which workers are alive, for people and for metrics.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// Queue is what stands in one queue. One that nobody used yet is there too: it may be paused.
type Queue struct {
	Name string
	// Pending tasks wait for a handler, Active ones have one (and mostly wait for a slot), Retry ones wait out a backoff,
	// Scheduled ones wait for their time; dead letters are Scheduled in tasks.QueueDeadLetter.
	Pending, Active, Retry, Scheduled int
	// Archived tasks were set aside by asynq, which workers sweep; Completed ones are kept for a day.
	Archived, Completed int
	// Aggregating tasks were put into a group of asynq's; workers take them out of it, one by one.
	Aggregating int
	// Processed and Failed count runs of handlers since the queue exists.
	Processed, Failed int
	// Oldest is how long the task that waits the longest has waited: since it was enqueued, or for an active one since
	// its job was submitted or due. It is 0 for an empty queue.
	Oldest time.Duration
	// OldestUnknown says that nothing tells how long: of a task that a worker has in its hands the job is not known.
	OldestUnknown bool
	// Memory is asynq's estimate of the queue's size in Redis, in bytes; -1 where it is not known, since
	// Redis forbids MEMORY USAGE.
	Memory int64
	// Paused queues are not worked on until somebody resumes them in the web UI.
	Paused bool
}

// Waiting is how many tasks of the queue are on their way.
func (q Queue) Waiting() int { return q.Pending + q.Active + q.Retry }

// Worker is one worker process.
type Worker struct {
	Host    string
	PID     int
	Started time.Time
	// Active is how many tasks it has in its handlers, most of which wait for a slot.
	Active int
	// Stopping is set from its stop signal to its end.
	Stopping bool
	// Leads says that it has the lead: it takes the tasks, and the others stand by.
	Leads bool
}

// Reader reads the state of a fleet. It is safe for concurrent use.
type Reader struct {
	rdb       redis.UniversalClient
	inspector *asynq.Inspector
	ledger    *ledger.Ledger
	now       func() time.Time
}

// NewReader returns a reader of the fleet behind rdb. It changes nothing there.
func NewReader(rdb redis.UniversalClient, l *ledger.Ledger) *Reader {
	return &Reader{rdb: rdb, inspector: asynq.NewInspectorFromRedisClient(rdb), ledger: l, now: time.Now}
}

// Queues are the lanes, the most urgent first, and the dead letters.
func (r *Reader) Queues(ctx context.Context) ([]Queue, error) {
	var queues []Queue
	for _, name := range append(tasks.Lanes(), tasks.QueueDeadLetter) {
		q, err := r.queue(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look at queue %s: %w", name, err)
		}
		queues = append(queues, q)
	}
	return queues, nil
}

func (r *Reader) queue(ctx context.Context, name string) (Queue, error) {
	q := Queue{Name: name, Memory: -1}
	counts := []struct {
		of  *int
		cmd *redis.IntCmd
		key string
	}{{of: &q.Pending, key: "pending"}, {of: &q.Active, key: "active"}, {of: &q.Retry, key: "retry"}, {of: &q.Scheduled, key: "scheduled"},
		{of: &q.Archived, key: "archived"}, {of: &q.Completed, key: "completed"}}
	key := func(of string) string { return "asynq:{" + name + "}:" + of }
	var processed, failed, next *redis.StringCmd
	var paused *redis.IntCmd
	var groups *redis.StringSliceCmd
	_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range counts {
			if c := &counts[i]; c.key == "pending" || c.key == "active" {
				c.cmd = p.LLen(ctx, key(c.key))
			} else {
				c.cmd = p.ZCard(ctx, key(c.key))
			}
		}
		processed, failed = p.Get(ctx, key("processed")), p.Get(ctx, key("failed"))
		paused = p.Exists(ctx, key("paused"))
		groups = p.SMembers(ctx, key("groups"))
		next = p.LIndex(ctx, key("pending"), -1)
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return q, err
	}
	for _, c := range counts {
		*c.of = int(c.cmd.Val())
	}
	q.Processed, _ = strconv.Atoi(processed.Val())
	q.Failed, _ = strconv.Atoi(failed.Val())
	q.Paused = paused.Val() == 1
	for _, group := range groups.Val() {
		n, err := r.rdb.ZCard(ctx, key("g:"+group)).Result()
		if err != nil {
			return q, err
		}
		q.Aggregating += int(n)
	}
	if id := next.Val(); id != "" {
		since, err := r.rdb.HGet(ctx, key("t:"+id), "pending_since").Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return q, err
		}
		if since > 0 {
			q.Oldest = max(r.now().Sub(time.Unix(0, since)), 0)
		}
	}
	if q.Active > 0 {
		age, known, err := r.oldestActive(ctx, name)
		if err != nil {
			return q, err
		}
		q.Oldest = max(q.Oldest, age)
		q.OldestUnknown = !known && q.Oldest == 0
	}
	// A Redis that forbids MEMORY USAGE has everything but this figure.
	if info, err := r.inspector.GetQueueInfo(name); err == nil {
		q.Memory = info.MemoryUsage
	} else if q.Waiting()+q.Scheduled+q.Archived+q.Completed == 0 {
		q.Memory = 0
	}
	return q, nil
}

// oldestActive is the age of the task that a handler has had the longest. Handlers take tasks long before their slot
// comes, so during a hold a lane shows no pending task at all; asynq keeps no time for an active one, its job does.
func (r *Reader) oldestActive(ctx context.Context, queue string) (age time.Duration, known bool, err error) {
	active, err := r.inspector.ListActiveTasks(queue, asynq.PageSize(1))
	if err != nil || len(active) == 0 {
		return 0, err == nil, err
	}
	part, err := tasks.Decode(active[0].Payload)
	if err != nil {
		return 0, false, nil // a worker is about to make a dead letter of it
	}
	job, err := r.ledger.Get(ctx, part.JobID)
	var unknown *ledger.NotFoundError
	if errors.As(err, &unknown) {
		return 0, false, nil // about to be adopted
	}
	if err != nil {
		return 0, false, err
	}
	since := job.CreatedAt
	if job.At != nil && job.At.After(since) {
		since = *job.At
	}
	if f := part.Failure; f != nil && f.FailedAt.After(since) {
		since = f.FailedAt
	}
	return max(r.now().Sub(since), 0), true, nil
}

// Workers are the worker processes that gave a sign of life within asynq's last seconds, by host and process id.
func (r *Reader) Workers(ctx context.Context) ([]Worker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	servers, err := r.inspector.Servers()
	if err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	type process struct {
		host string
		pid  int
	}
	found := map[process]*Worker{}
	serves := map[process]bool{}
	var all []*Worker
	// One worker is several asynq servers, one for each queue.
	for _, s := range servers {
		at := process{s.Host, s.PID}
		if _, ours := s.Queues[tasks.QueueDeadLetter]; ours {
			serves[at] = true
		}
		w := found[at]
		if w == nil {
			w = &Worker{Host: s.Host, PID: s.PID, Started: s.Started}
			found[at], all = w, append(all, w)
		}
		if s.Started.Before(w.Started) {
			w.Started = s.Started
		}
		w.Active += len(s.ActiveWorkers)
		w.Stopping = w.Stopping || s.Status != "active"
	}
	var workers []Worker
	for _, w := range all {
		// Other programs may use asynq on the same Redis; only workers take dead letters.
		if serves[process{w.Host, w.PID}] {
			workers = append(workers, *w)
		}
	}
	host, pid, err := queue.Leader(ctx, r.rdb)
	if err != nil {
		return nil, fmt.Errorf("look who leads: %w", err)
	}
	for i := range workers {
		workers[i].Leads = workers[i].Host == host && workers[i].PID == pid
	}
	slices.SortFunc(workers, func(a, b Worker) int {
		if c := strings.Compare(a.Host, b.Host); c != 0 {
			return c
		}
		return a.PID - b.PID
	})
	return workers, nil
}

// Unserved is a queue that nobody serves although tasks wait in it.
type Unserved struct {
	Queue string `json:"queue"`
	Tasks int    `json:"tasks"`
}

// Unserved lists the queues of this Redis, those of other programs included, that have tasks on their way and that no process serves.
func (r *Reader) Unserved(ctx context.Context) ([]Unserved, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	servers, err := r.inspector.Servers()
	if err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	served := map[string]bool{}
	for _, s := range servers {
		for name := range s.Queues {
			served[name] = true
		}
	}
	names, err := r.inspector.Queues()
	if err != nil {
		return nil, fmt.Errorf("look for queues: %w", err)
	}
	slices.Sort(names)
	var left []Unserved
	for _, name := range names {
		if served[name] {
			continue
		}
		q, err := r.queue(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("look at queue %s: %w", name, err)
		}
		if n := q.Waiting(); n > 0 {
			left = append(left, Unserved{Queue: name, Tasks: n})
		}
	}
	return left, nil
}
