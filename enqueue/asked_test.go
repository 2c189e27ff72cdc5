package enqueue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

// beforeParts does something instead of the first write of parts, or before it where that returns nil.
type beforeParts struct {
	do func() error
}

func (h *beforeParts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *beforeParts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *beforeParts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "eval" && strings.Contains(cmd.String(), "Writes parts of a job") && h.do != nil {
			do := h.do
			h.do = nil
			if err := do(); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

// Both leads see the same pairs; the later one sees besides that somebody has to approve.
func TestWhatAnEarlierLeadStillWritesOfAResolvedJobIsNotTaken(t *testing.T) {
	server, rdb := redistest.Memory(t)
	hooked := func(do func() error) *Client {
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		t.Cleanup(func() { _ = client.Close() })
		client.AddHook(&beforeParts{do: do})
		return newClient(t, client)
	}
	l := ledger.New(rdb, 0)
	if _, err := l.Ask(t.Context(), ledger.Asked{JobID: "j", CreatedAt: time.Now(), Content: "what", Request: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	means := Submission{JobID: "j", Removals: some(t, 1, 1), Snapshot: &Snapshot{SeenAt: time.Now()}, MaxUsers: -1}
	cut := errors.New("the connection is cut")
	later := hooked(func() error { return cut })
	earlier := hooked(func() error {
		if _, _, err := l.TakeAsked(t.Context(), "j", "2"); err != nil {
			return err
		}
		waits := means
		waits.AwaitApproval = true
		if _, err := later.Submit(ledger.LookedUp(t.Context(), "2"), waits); !errors.Is(err, cut) {
			t.Errorf("the later lead: %v", err)
		}
		return nil
	})
	if _, _, err := l.TakeAsked(t.Context(), "j", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := earlier.Submit(ledger.LookedUp(t.Context(), "1"), means); !errors.Is(err, ledger.ErrStale) {
		t.Errorf("the earlier lead goes on: %v", err)
	}
	if job, err := l.Get(t.Context(), "j"); err != nil || job.State != ledger.StateResolving || job.Awaiting != ledger.AwaitingApproval {
		t.Errorf("%+v %v", job, err)
	}
}
