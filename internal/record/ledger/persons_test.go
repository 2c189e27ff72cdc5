package ledger

import (
	"fmt"
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

// A part that is larger than a call has no word about its pairs yet: they are its children's, who would count them again.
func TestWhoeverStaysIsCountedOnceThoughTheirPartIsSplitLater(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	large := tasks.Part{RoleIDs: []int64{1}}
	for i := range tasks.MaxUsers + 1 {
		large.UserIDs = append(large.UserIDs, fmt.Sprintf("u%03d", i))
	}
	job(t, l, "j", large)
	large.JobID, large.Part = "j", "0"
	stays, err := l.CancelUsers(t.Context(), []string{"u000"}, "hr", "rehired")
	if err != nil || len(stays) != 1 || stays[0].Cancelled != 0 || stays[0].InFlight != 1 {
		t.Fatalf("got %+v, %v", stays, err)
	}
	children := []tasks.Part{{JobID: "j", Part: "0.0", UserIDs: large.UserIDs[:tasks.MaxUsers], RoleIDs: large.RoleIDs},
		{JobID: "j", Part: "0.1", UserIDs: large.UserIDs[tasks.MaxUsers:], RoleIDs: large.RoleIDs}}
	if err := l.Split(t.Context(), claim(t, l, large), children); err != nil {
		t.Fatal(err)
	}
	c := claim(t, l, children[0])
	if _, stays := c.Stays(0); !stays {
		t.Error("the child does not know who stays")
	}
	row := pairs.Rectangle{Users: []pairs.User{0}}
	if _, err := l.Settle(t.Context(), c, Settlement{Pairs: row, Outcome: Outcome{Kind: Cancelled, ErrMsg: "rehired"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Settle(t.Context(), claim(t, l, children[0]), Settlement{Outcome: Outcome{Kind: Removed}}); err != nil {
		t.Fatal(err)
	}
	want := Pairs{Total: tasks.MaxUsers + 1, Removed: tasks.MaxUsers - 1, Cancelled: 1, Pending: 1}
	if j, err := l.Get(t.Context(), "j"); err != nil || j.Pairs != want {
		t.Errorf("got %+v, %v, want %+v", j.Pairs, err, want)
	}
}

// While the parts of a job are being written nobody can tell whom it is about.
func TestWhoeverStaysStaysInAJobThatIsStillBeingWritten(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	part := tasks.Part{JobID: "j", Part: "0", UserIDs: []string{"ann"}, RoleIDs: []int64{1}}
	if _, err := l.Create(t.Context(), NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: 1, Content: "c", Plan: "p", Parts: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.CancelUsers(t.Context(), []string{"ann"}, "hr", "rehired"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.PutParts(t.Context(), "j", "p", []tasks.Part{part}); err != nil {
		t.Fatal(err)
	}
	if err := l.Planned(t.Context(), "j", "p", 1); err != nil {
		t.Fatal(err)
	}
	if _, stays := claim(t, l, part).Stays(0); !stays {
		t.Error("ann loses her role")
	}
}

// What is given back to a part, of a letter that was lost, does not make the part one that is not being called.
func TestAReleasedLetterLeavesTheMarkOfItsPart(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	part := tasks.Part{UserIDs: []string{"ann"}, RoleIDs: []int64{1}}
	job(t, l, "j", part)
	part.JobID, part.Part = "j", "0"
	if _, err := l.Claim(t.Context(), Request{Part: &part, Lane: "default", Begin: true}); err != nil {
		t.Fatal(err)
	}
	if err := l.Each(t.Context(), "j", func(rec PartRecord) error { return l.Release(t.Context(), rec, "0-u0") }); err != nil {
		t.Fatal(err)
	}
	stays, err := l.CancelUsers(t.Context(), []string{"ann"}, "hr", "rehired")
	if err != nil || len(stays) != 1 || stays[0].InFlight != 1 || stays[0].Cancelled != 0 {
		t.Errorf("got %+v, %v, want the pair in flight", stays, err)
	}
}
