package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestWhoeverStaysIsTakenOutOfEveryOpenJobAndNobodyElseIs(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		job(t, l, "mixed", tasks.Part{UserIDs: []string{"ann", "bob"}, RoleIDs: []int64{1, 2}}, tasks.Part{UserIDs: []string{"cy"}, RoleIDs: []int64{1}})
		job(t, l, "alone", tasks.Part{UserIDs: []string{"ann"}, RoleIDs: []int64{1}})
		job(t, l, "others", tasks.Part{UserIDs: []string{"bob"}, RoleIDs: []int64{1}})
		stays, err := l.CancelUsers(t.Context(), []string{"ann", "nobody"}, "hr", "rehired")
		if err != nil {
			t.Fatal(err)
		}
		want := []Stays{{JobID: "alone", State: StateCancelled, Cancelled: 1}, {JobID: "mixed", State: StateRunning, Cancelled: 2}}
		if diff := cmp.Diff(want, stays); diff != "" {
			t.Error(diff)
		}
		if err := l.Rows(t.Context(), "mixed", func(r Row) error {
			if cancelled := r.Outcome.Kind == Cancelled; cancelled != (r.UserID == "ann") || cancelled && r.Outcome.ErrMsg != "rehired" {
				t.Errorf("%+v", r)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if again, err := l.CancelUsers(t.Context(), []string{"ann"}, "hr", "rehired"); err != nil || len(again) != 1 || again[0].Cancelled != 0 {
			t.Errorf("again: %+v %v", again, err)
		}
		entries := 0
		if err := l.Trail(t.Context(), "mixed", "", func(e TrailEntry) error {
			if entry, err := e.Entry(); err != nil || entry.Event == EventCancelled && entry.By == "hr" && entry.Why == "rehired" {
				entries++
			}
			return nil
		}); err != nil || entries != 2 { // who asked, and the part it changed
			t.Errorf("%d entries in the trail, %v", entries, err)
		}
	})
}

// A pair may lie in the rectangles of two parts. The one that does not own it must not take it either.
func TestNoPartOfTheJobCallsForWhoeverStays(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	owner := tasks.Part{UserIDs: []string{"ann"}, RoleIDs: []int64{1}}
	other := tasks.Part{UserIDs: []string{"ann", "bob"}, RoleIDs: []int64{1, 2}}
	other.Own = pairs.SizeOf(&other).Whole().Own(func(u pairs.User, r pairs.Role) bool { return u == 1 })
	parts := []tasks.Part{owner, other}
	job(t, l, "j", parts...)
	claim := func() *Claim {
		c, err := l.Claim(t.Context(), Request{Part: &parts[1], Lane: "default"})
		if err != nil {
			t.Fatal(err)
		}
		return c[0]
	}
	if n := claim().Callable().Len(); n != 4 {
		t.Fatalf("%d pairs may be called before, want 4", n)
	}
	if _, err := l.CancelUsers(t.Context(), []string{"ann"}, "hr", "rehired"); err != nil {
		t.Fatal(err)
	}
	if left := claim().Callable(); left.Len() != 2 || left.Has(0, 0) || left.Has(0, 1) {
		t.Errorf("%d pairs may be called, ann's among them: %v %v", left.Len(), left.Has(0, 0), left.Has(0, 1))
	}
	// Also where the job has so many bad ids that those of a part are looked up.
	for i := range badAtOnce + 1 {
		if err := rdb.HSet(t.Context(), keys("j")[keyBad], RoleField(int64(1000+i)), `{"reason":"invalid_role"}`).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if left := claim().Callable(); left.Len() != 2 {
		t.Errorf("%d pairs may be called in a job with many bad ids", left.Len())
	}
}
