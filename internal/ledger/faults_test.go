package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/redistest"
	"github.com/unrole/unrole/tasks"
)

// cutOnce fails the first command of that name before it is sent.
type cutOnce struct {
	name string
	done bool
}

func (h *cutOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *cutOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *cutOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == h.name && !h.done {
			h.done = true
			return errors.New("the connection was cut")
		}
		return next(ctx, cmd)
	}
}

func TestAnAdoptedJobIsListedAlthoughTheConnectionWasCutInBetween(t *testing.T) {
	_, rdb := redistest.Memory(t)
	rdb.AddHook(&cutOnce{name: "zadd"})
	l := New(rdb, 0)
	rq := Request{Part: &tasks.Part{JobID: "foreign", Part: "0", RoleIDs: []int64{1}, UserIDs: []string{"u"}}, Lane: tasks.QueueDefault}
	if _, err := l.Claim(t.Context(), rq); err == nil {
		t.Fatal("nothing was cut")
	}
	if _, err := l.Claim(t.Context(), rq); err != nil {
		t.Fatal(err)
	}
	jobs, err := l.List(t.Context(), 0, -1)
	if err != nil || len(jobs) != 1 || jobs[0].Pairs.Total != 1 {
		t.Errorf("%+v, %v: want the adopted job", jobs, err)
	}
}
