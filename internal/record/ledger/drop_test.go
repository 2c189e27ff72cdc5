package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// meanwhile does something once, before a command is sent: a script, by its hash, or another one, by its key.
type meanwhile struct {
	of string
	do func()
}

func (m *meanwhile) DialHook(next redis.DialHook) redis.DialHook { return next }

func (m *meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[1] == m.of && m.do != nil {
			do := m.do
			m.do = nil
			do()
		}
		return next(ctx, cmd)
	}
}

// Between the look at a job and its end, somebody may have tried a dead letter of it again, or written to its trail.
func TestAJobThatMovesMeanwhileIsNotDropped(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		for _, id := range []string{"again-ann", "said-ann"} {
			parts := []tasks.Part{{UserIDs: []string{"ann"}, RoleIDs: []int64{1}}}
			job(t, l, id, parts...)
			if _, err := l.Settle(t.Context(), claim(t, l, parts[0]), Settlement{Outcome: Outcome{Kind: Dead}}); err != nil {
				t.Fatal(err)
			}
		}
		drop := func(id string, do func()) error {
			hooked := redis.NewClient(rdb.Options())
			defer hooked.Close()
			hooked.AddHook(&meanwhile{dropScript.Hash(), do})
			_, err := New(hooked, time.Hour).Drop(t.Context(), Erasure{JobID: id, Names: forget.Names{"ann": "erased:x"}})
			return err
		}
		var unfinished *UnfinishedError
		if err := drop("again-ann", func() { rdb.HIncrBy(t.Context(), jobKey("again-ann"), "dead", -1) }); !errors.As(err, &unfinished) {
			t.Errorf("a job that goes on: %v", err)
		}
		if rdb.Exists(t.Context(), jobKey("again-ann"), keys("again-ann")[keyAudit]).Val() != 2 || rdb.Exists(t.Context(), keys("again-erased-x")[keyAudit]).Val() != 0 {
			t.Error("it is not as it was")
		}
		if err := drop("said-ann", func() {
			rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: keys("said-ann")[keyAudit], Values: []any{"entry", `{"job_id":"said-ann","why":"late"}`}})
		}); err != nil {
			t.Fatal(err)
		}
		late := false
		if err := l.Trail(t.Context(), "said-erased-x", "", func(e TrailEntry) error {
			late = late || strings.Contains(e.JSON, `"late"`)
			return nil
		}); err != nil || !late || rdb.Exists(t.Context(), jobKey("said-ann"), keys("said-ann")[keyAudit]).Val() != 0 {
			t.Errorf("what was written meanwhile is in the trail: %v, %v", late, err)
		}
	})
}
