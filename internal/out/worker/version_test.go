package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// workAsBefore takes the tasks of the lanes as a worker did that knew version 1 and no actions: it sets apart what is of
// another version, and removes everything else, which the test does not let it come to.
func (w *world) workAsBefore() (stop func()) {
	w.Helper()
	client := asynq.NewClientFromRedisClient(w.rdb)
	handle := func(ctx context.Context, at *asynq.Task) error {
		var head struct {
			V int `json:"v"`
		}
		if err := json.Unmarshal(at.Payload(), &head); err != nil {
			return err
		}
		if head.V == 1 {
			w.Errorf("the worker of before would remove %s", at.Payload())
			return nil
		}
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		job, part := tasks.SplitAnyTaskID(id)
		_, err := producer.EnqueueLetter(ctx, client, &tasks.Part{JobID: job, Part: part, Failure: &tasks.Failure{Reason: tasks.ReasonBadPayload,
			ErrMsg: fmt.Sprintf("payload version %d is not known", head.V), Attempts: 1, FailedAt: time.Now(), Queue: queue, Payload: at.Payload()}}, id)
		return err
	}
	server := asynq.NewServerFromRedisClient(w.rdb, asynq.Config{Concurrency: 10, LogLevel: asynq.FatalLevel, TaskCheckInterval: 5 * time.Millisecond,
		Queues: map[string]int{tasks.QueueUrgent: 1, tasks.QueueDefault: 1, tasks.QueueBulk: 1}})
	if err := server.Start(asynq.HandlerFunc(handle)); err != nil {
		w.Fatal(err)
	}
	return server.Shutdown
}

func TestAWorkerOfBeforeDoesNotRemoveWhatIsToBeGivenBack(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.sim.AddDepartment(simulator.Department{ID: 7, Name: "Sales"})
	r, err := enqueue.FromLists(names("back", 50), roleIDs(2))
	if err != nil {
		t.Fatal(err)
	}
	stop := w.workAsBefore()
	w.restore("given", r, enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: "back001", RoleID: roleIDs(2)[0]}, Departments: []int64{7}})
	parts := 0
	if err := w.ledger.Each(t.Context(), "given", func(ledger.PartRecord) error {
		parts++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.until(func() bool { return len(w.letters()) == parts })
	stop()
	if n := len(w.sim.Calls()) + len(w.sim.Gifts()); n != 0 {
		t.Errorf("%d calls", n)
	}

	// Its successor gives back what is tried again.
	w.work()
	if _, err := newInspector(rdb).RunAllScheduledTasks(tasks.QueueDeadLetter); err != nil {
		t.Fatal(err)
	}
	if job := w.finished("given"); job.Pairs != (ledger.Pairs{Total: 100, Restored: 100}) {
		t.Errorf("%+v", job.Pairs)
	}
	if have := w.sim.Scope("back001", roleIDs(2)[0]); !slices.Equal(have, []int64{7}) || len(w.sim.Calls()) != 0 {
		t.Errorf("its scope is %v; %d removals were called", have, len(w.sim.Calls()))
	}
}

func TestWhatALaterWorkerIsToDoIsSetApartAndNotRemoved(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.work()
	client := asynq.NewClientFromRedisClient(rdb)
	for i, payload := range []string{
		`{"v":3,"job_id":"later","part":"0","action":"lend","role_ids":[1],"user_ids":["u"]}`,
		`{"v":3,"job_id":"later","part":"1","role_ids":[1],"user_ids":["u"]}`,
		`{"v":1,"job_id":"later","part":"2","action":"add","role_ids":[1],"user_ids":["u"]}`, // nobody's: who writes 1 removes
		`{"v":2,"job_id":"later","part":"3","role_ids":[1],"user_ids":["u"]}`,
	} {
		if _, err := client.Enqueue(asynq.NewTask(tasks.TypeRemove, []byte(payload)), asynq.Queue(tasks.QueueDefault), asynq.TaskID(fmt.Sprint("later:", i))); err != nil {
			t.Fatal(err)
		}
	}
	w.until(func() bool { return len(w.letters()) == 4 })
	for name, letter := range w.letters() {
		if letter.Failure.Reason != tasks.ReasonBadPayload || len(letter.Failure.Payload) == 0 {
			t.Errorf("%s: %+v", name, letter.Failure)
		}
	}
	if n := len(w.sim.Calls()) + len(w.sim.Gifts()); n != 0 {
		t.Errorf("%d calls", n)
	}
}
