package producer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hibiken/asynq"

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
