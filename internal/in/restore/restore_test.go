package restore

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestOnlyWhatIsStillTakenIsGivenBack(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	// job submits every user with role 1 and settles those that are named by kind.
	job := func(id string, action tasks.Action, users []string, seen *enqueue.Snapshot, dead ...string) {
		t.Helper()
		r, err := enqueue.FromLists(users, []int64{1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Submit(t.Context(), enqueue.Submission{JobID: id, Removals: r, Action: action, Snapshot: seen}); err != nil {
			t.Fatal(err)
		}
		if err := l.Each(t.Context(), id, func(rec ledger.PartRecord) error {
			for i, user := range rec.Part.UserIDs {
				kind := ledger.Removed
				if slices.Contains(dead, user) {
					kind = ledger.Dead
				}
				c, err := l.Claim(t.Context(), ledger.Request{Part: rec.Part, Lane: "default"})
				if err != nil {
					return err
				}
				if _, err := l.Settle(t.Context(), c[0], settlement(i, kind)); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	wide := make([]int64, tasks.MaxDepartments+1)
	job("j", tasks.Remove, []string{"again", "back", "dead", "plain", "scoped", "wide"}, &enqueue.Snapshot{SeenAt: time.Now(), Scopes: []enqueue.SnapshotScope{
		{Pair: enqueue.SnapshotPair{UserID: "scoped", RoleID: 1}, Departments: []int64{7}},
		{Pair: enqueue.SnapshotPair{UserID: "wide", RoleID: 1}, Departments: wide}}}, "dead")
	job("r", tasks.Add, []string{"again", "back"}, nil)
	job("j2", tasks.Remove, []string{"again"}, nil)

	p, err := Of(t.Context(), l, Wish{JobID: "j"})
	if err != nil {
		t.Fatal(err)
	}
	if users := p.Removals.Users(); !slices.Equal(users, []string{"plain", "scoped"}) || len(p.Scopes) != 1 {
		t.Errorf("%v would be given back, scopes %v", users, p.Scopes)
	}
	if len(p.Later) != 1 || p.Later[0].UserID != "again" || p.Later[0].JobID != "j2" || p.Back != 1 || len(p.TooWide) != 1 || p.Kept != 1 {
		t.Errorf("later %v, back %d, too wide %d, kept %d", p.Later, p.Back, len(p.TooWide), p.Kept)
	}
	if p, err = Of(t.Context(), l, Wish{JobID: "j", EvenLater: true, Users: []string{"again"}}); err != nil || p.Removals.Pairs() != 1 {
		t.Errorf("even later: %+v, %v", p, err)
	}
	var unseen *NoSnapshotError
	if _, err := Of(t.Context(), l, Wish{JobID: "j2"}); !errors.As(err, &unseen) {
		t.Errorf("without a snapshot: %v", err)
	}
	if p, err := Of(t.Context(), l, Wish{JobID: "j2", FromRemoved: true}); err != nil || !p.Unseen {
		t.Errorf("from what was removed: %+v, %v", p, err)
	}
	var nothing *NothingError
	if _, err := Of(t.Context(), l, Wish{JobID: "j", Users: []string{"dead"}}); !errors.As(err, &nothing) {
		t.Errorf("a dead letter: %v", err)
	}
	if _, err := Of(t.Context(), l, Wish{JobID: "j", Users: []string{"nobody"}}); err == nil {
		t.Error("somebody the job is not about was taken for one of it")
	}
	if _, err := Of(t.Context(), l, Wish{JobID: "r"}); err == nil {
		t.Error("a restore was restored")
	}
}

func settlement(user int, kind ledger.Kind) ledger.Settlement {
	return ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(user)}}, Outcome: ledger.Outcome{Kind: kind}}
}
