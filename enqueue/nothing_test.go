package enqueue

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestAJobOfWhichNothingIsHeldIsOverAsSoonAsItIsThere(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		seen := &Snapshot{SeenAt: time.Now(), NotHeld: []SnapshotPair{{UserID: "u", RoleID: 7}}, Unresolved: 2}
		s := Submission{JobID: "j", Removals: &Removals{}, Snapshot: seen, Reason: "left"}
		c := newClient(t, rdb)
		done, err := c.Submit(t.Context(), s)
		if err != nil || done.Existed || done.Job.State != ledger.StateCompleted || done.Job.FinishedAt == nil || done.Job.Snapshot.NotHeld != 1 {
			t.Fatalf("%+v %v", done, err)
		}
		if again, err := c.Submit(t.Context(), s); err != nil || !again.Existed || again.Job.State != ledger.StateCompleted {
			t.Errorf("the same again: %+v %v", again, err)
		}
		for _, key := range redistest.Keys(t, rdb) {
			if ttl := rdb.PTTL(t.Context(), key).Val(); key == "unrole:job:{j}" && ttl <= 0 {
				t.Errorf("%s is kept for good", key)
			}
		}
		if ended, _, err := ledger.New(rdb, 0).Untold(t.Context(), []string{"j"}, time.Now().Add(-time.Minute)); err != nil || len(ended) != 1 {
			t.Errorf("nobody is told of its end: %v %v", ended, err)
		}

		var conflict *ConflictError
		s.Snapshot = &Snapshot{SeenAt: time.Now(), NotHeld: []SnapshotPair{{UserID: "v", RoleID: 7}}}
		if _, err := c.Submit(t.Context(), s); !errors.As(err, &conflict) {
			t.Errorf("another list is taken for it: %v", err)
		}
		s.Removals = some(t, 3, 7)
		if _, err := c.Submit(t.Context(), s); !errors.As(err, &conflict) {
			t.Errorf("a list of which something is held is taken for it: %v", err)
		}
		for _, bad := range []Submission{{Removals: &Removals{}}, {Removals: &Removals{}, Snapshot: seen, Action: tasks.Add}} {
			if _, err := c.Submit(t.Context(), bad); err == nil {
				t.Errorf("%+v is accepted", bad)
			}
		}
	})
}

// Whoever was interrupted while the plan was written may find nothing of it held any more.
func TestAnInterruptedListOfWhichNothingIsHeldAnyMoreIsOver(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		if _, err := l.Create(t.Context(), ledger.NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: 2, Users: 1, Roles: 2, Content: "pairs", Plan: "plan", Parts: 1, Asked: "list"}); err != nil {
			t.Fatal(err)
		}
		done, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: &Removals{}, Snapshot: &Snapshot{SeenAt: time.Now()}, Asked: "list"})
		if err != nil || done.Job.State != ledger.StateCompleted || done.Job.FinishedAt == nil || done.Job.Pairs.Total != 0 {
			t.Errorf("%+v %v", done, err)
		}
	})
}
