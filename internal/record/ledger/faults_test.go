package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// cutOnce fails the first command of that name: before it is sent, or once it was done.
type cutOnce struct {
	name  string
	after bool
	done  bool
}

func (h *cutOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *cutOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *cutOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == h.name && !h.done {
			h.done = true
			if h.after {
				if err := next(ctx, cmd); err != nil {
					return err
				}
			}
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

func TestAWriteWhoseReplyWasLostCountsItsCallOnce(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, 0)
	claims, err := l.Claim(t.Context(), Request{Part: &tasks.Part{JobID: "lost", Part: "0", RoleIDs: []int64{1}, UserIDs: []string{"u", "v"}},
		Lane: tasks.QueueDefault, Begin: true})
	if err != nil {
		t.Fatal(err)
	}
	c := claims[0]
	c.CountCall()
	removed := Settlement{Outcome: Outcome{Kind: Removed, RequestID: "r", At: time.Now()}}
	if err := settleScript.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatal(err)
	}
	rdb.AddHook(&cutOnce{name: "evalsha", after: true})
	if _, err := l.Settle(t.Context(), c, removed); err == nil {
		t.Fatal("nothing was cut")
	}
	delta, err := l.Settle(t.Context(), c, removed)
	if err != nil || delta != (Delta{Removed: 2}) {
		t.Errorf("%+v, %v: want the two pairs to be counted for metrics too", delta, err)
	}
	job, err := l.Get(t.Context(), "lost")
	if err != nil || job.APICalls != 1 || job.Pairs != (Pairs{Total: 2, Removed: 2}) {
		t.Errorf("%+v, %v: want one call", job, err)
	}
}
