package fleet

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func part(job, name string) tasks.Part {
	return tasks.Part{JobID: job, Part: name, UserIDs: []string{"u"}, RoleIDs: []int64{1}}
}

func byName(t *testing.T, r *Reader) map[string]Queue {
	t.Helper()
	queues, err := r.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]Queue{}
	for _, q := range queues {
		m[q.Name] = q
	}
	return m
}

func TestQueuesThatNobodyUsedAreEmpty(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		queues, err := NewReader(rdb, ledger.New(rdb, 0)).Queues(t.Context())
		if err != nil || len(queues) != 4 || queues[0] != (Queue{Name: tasks.QueueUrgent}) || queues[3].Name != tasks.QueueDeadLetter {
			t.Errorf("%v %+v", err, queues)
		}
	})
}

// During a hold handlers have taken every task of a lane, so that nothing is pending; the wait must show nevertheless.
func TestATaskInAHandlerStillWaits(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		submitted := time.Now().Add(-time.Hour)
		p := part("old", "0")
		if _, err := l.Create(t.Context(), ledger.NewJob{JobID: "old", Priority: tasks.QueueDefault, CreatedAt: submitted, Pairs: 1, Users: 1, Roles: 1, Content: "c", Plan: "p", Parts: 1}); err != nil {
			t.Fatal(err)
		}
		client := asynq.NewClientFromRedisClient(rdb)
		if err := producer.Enqueue(t.Context(), client, []tasks.Part{p}, tasks.QueueDefault, time.Time{}); err != nil {
			t.Fatal(err)
		}
		taken, release := make(chan struct{}), make(chan struct{})
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{tasks.QueueDefault: 1, tasks.QueueDeadLetter: 1}, LogLevel: asynq.FatalLevel,
			TaskCheckInterval: 5 * time.Millisecond})
		if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
			close(taken)
			<-release
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		<-taken
		r := NewReader(rdb, l)
		q := byName(t, r)[tasks.QueueDefault]
		if q.Pending != 0 || q.Active != 1 || q.Waiting() != 1 || q.Oldest < time.Hour || q.Oldest > 2*time.Hour {
			t.Errorf("%+v", q)
		}
		workers, err := r.Workers(t.Context())
		if err != nil || len(workers) != 1 || workers[0].PID != os.Getpid() || workers[0].Stopping {
			t.Errorf("%v %+v", err, workers)
		}
		// A task whose job is not known tells nobody how long it has waited.
		if err := rdb.Rename(t.Context(), "unrole:job:{old}", "unrole:job:{away}").Err(); err != nil {
			t.Fatal(err)
		}
		if q := byName(t, r)[tasks.QueueDefault]; q.Oldest != 0 || !q.OldestUnknown {
			t.Errorf("without its job %+v", q)
		}
		close(release)
		server.Shutdown()
		if q := byName(t, r)[tasks.QueueDefault]; q.Oldest != 0 || q.Completed != 1 || q.Processed != 1 {
			t.Errorf("afterwards %+v", q)
		}
	})
}

func TestTasksOfAGroupAreCounted(t *testing.T) {
	_, rdb := redistest.Memory(t)
	client := asynq.NewClientFromRedisClient(rdb)
	for i := range 3 {
		if _, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue(tasks.QueueBulk), asynq.TaskID(fmt.Sprint(i)), asynq.Group(fmt.Sprint("g", i%2))); err != nil {
			t.Fatal(err)
		}
	}
	queues, err := NewReader(rdb, ledger.New(rdb, 0)).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if want := map[bool]int{true: 3}[q.Name == tasks.QueueBulk]; q.Aggregating != want {
			t.Errorf("%s: %d in groups, want %d", q.Name, q.Aggregating, want)
		}
	}
}

func TestDeadLettersAreScheduled(t *testing.T) {
	_, rdb := redistest.Memory(t)
	p := part("j", "0-u0")
	p.Failure = &tasks.Failure{Reason: tasks.ReasonUserGone, Attempts: 1, FailedAt: time.Now(), Queue: tasks.QueueBulk}
	if _, err := producer.EnqueueLetter(t.Context(), asynq.NewClientFromRedisClient(rdb), &p, "j:0-u0"); err != nil {
		t.Fatal(err)
	}
	if q := byName(t, NewReader(rdb, ledger.New(rdb, 0)))[tasks.QueueDeadLetter]; q.Scheduled != 1 || q.Waiting() != 0 || q.Memory == 0 {
		t.Errorf("%+v", q)
	}
}

func TestOtherProgramsOnTheSameRedisAreNoWorkers(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{"emails": 1, tasks.QueueDefault: 1}, LogLevel: asynq.FatalLevel})
		if err := server.Start(asynq.NewServeMux()); err != nil {
			t.Fatal(err)
		}
		defer server.Shutdown()
		if workers, err := NewReader(rdb, ledger.New(rdb, 0)).Workers(t.Context()); err != nil || len(workers) > 0 {
			t.Errorf("%v %+v", err, workers)
		}
	})
}

func TestARedisThatForbidsMemoryUsageLosesOneFigure(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client()
	if err := admin.Do(t.Context(), "ACL", "SETUSER", "unrole", "on", ">right", "~*", "&*", "+@all", "-memory").Err(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "unrole", Password: "right", DisableIdentity: true})
	defer rdb.Close()
	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("x", nil), asynq.Queue(tasks.QueueDefault)); err != nil {
		t.Fatal(err)
	}
	queues, err := NewReader(rdb, ledger.New(rdb, 0)).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if q.Name == tasks.QueueDefault && (q.Pending != 1 || q.Memory != -1) {
			t.Errorf("%+v", q)
		}
	}
}

func TestALaneThatIsPausedBeforeItsFirstTaskShowsAsPaused(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		if err := asynq.NewInspectorFromRedisClient(rdb).PauseQueue("bulk"); err != nil {
			t.Fatal(err)
		}
		queues, err := NewReader(rdb, ledger.New(rdb, 0)).Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range queues {
			if q.Paused != (q.Name == "bulk") {
				t.Errorf("%+v: want bulk alone paused", q)
			}
		}
	})
}

func TestAQueueThatNobodyServesIsNamedWhileTasksWaitInIt(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		client := asynq.NewClientFromRedisClient(rdb)
		for _, queue := range []string{"critical", "webhook"} {
			if _, err := client.Enqueue(asynq.NewTask("role:remove", nil), asynq.Queue(queue)); err != nil {
				t.Fatal(err)
			}
		}
		server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{"webhook": 1}, LogLevel: asynq.FatalLevel})
		if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })); err != nil {
			t.Fatal(err)
		}
		defer server.Shutdown()
		r := NewReader(rdb, ledger.New(rdb, 0))
		var left []Unserved
		for { // until the server has said what it serves
			var err error
			if left, err = r.Unserved(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(left) == 1 {
				break
			}
		}
		if left[0] != (Unserved{Queue: "critical", Tasks: 1}) {
			t.Errorf("%+v", left)
		}
	})
}
