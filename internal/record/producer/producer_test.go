package producer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestAnEndedContextIsFoundInTheError(t *testing.T) {
	_, rdb := redistest.Memory(t)
	client := asynq.NewClientFromRedisClient(rdb)
	p := tasks.Part{JobID: "job", Part: "0", RoleIDs: []int64{1}, UserIDs: []string{"u"}}
	// The first task of a client makes the queue known, which has errors of its own.
	if _, err := producer.EnqueueLetter(t.Context(), client, &p, "job:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := producer.EnqueueLetter(ctx, client, &p, "job:1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What asynq keeps of a task that was deleted while it ran has no message: the part is enqueued again all the same.
func TestWhatIsLeftOfATaskIsInNobodysWay(t *testing.T) {
	_, rdb := redistest.Memory(t)
	client := asynq.NewClientFromRedisClient(rdb)
	p := tasks.Part{JobID: "job", Part: "0", RoleIDs: []int64{1}, UserIDs: []string{"u"}}
	if err := producer.Enqueue(t.Context(), client, []tasks.Part{{JobID: "job", Part: "1", RoleIDs: []int64{1}, UserIDs: []string{"u"}}}, tasks.QueueBulk, time.Time{}); err != nil {
		t.Fatal(err)
	}
	rdb.HSet(t.Context(), queue.TaskKey(tasks.QueueBulk, p.TaskID()), "result", "{}")
	if err := producer.Requeue(t.Context(), rdb, client, p, tasks.QueueBulk); err != nil {
		t.Fatal(err)
	}
	if info, err := asynq.NewInspectorFromRedisClient(rdb).GetTaskInfo(tasks.QueueBulk, p.TaskID()); err != nil || info.State != asynq.TaskStatePending {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestAJobThatIsLookedUpHasNothingToRepair(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	if _, err := l.Ask(t.Context(), ledger.Asked{JobID: "job", Request: []byte("{}"), CreatedAt: time.Now(), Priority: tasks.QueueDefault}); err != nil {
		t.Fatal(err)
	}
	job, err := l.Get(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := producer.Repair(t.Context(), l, rdb, asynq.NewClientFromRedisClient(rdb), job); n != 0 || err != nil {
		t.Errorf("%s: %d parts, %v", job.State, n, err)
	}
}
