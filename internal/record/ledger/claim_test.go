package ledger

import (
	"fmt"
	"slices"
	"testing"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A part finds the bad ids that its job has learned, and no others, whether they are few enough to be read whole or not.
func TestAPartKnowsTheBadIDsOfItsJobHoweverManyThereAre(t *testing.T) {
	for _, learned := range []int{1, badAtOnce - 1, badAtOnce, 5 * badAtOnce} {
		t.Run(fmt.Sprint(learned), func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			l := New(rdb, 0)
			c := Claim{Part: &tasks.Part{JobID: "j", Part: "0"}}
			for i := range learned {
				if err := l.Learn(t.Context(), &c, UserField(fmt.Sprintf("u%d", i)), tasks.Failure{Reason: tasks.ReasonUserGone, ErrCode: 60121}); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Learn(t.Context(), &c, RoleField(7), tasks.Failure{Reason: tasks.ReasonInvalidRole, ErrCode: 33011}); err != nil {
				t.Fatal(err)
			}
			p := tasks.Part{JobID: "j", Part: "0", RoleIDs: []int64{7, 8}, UserIDs: []string{"good", "u0", fmt.Sprintf("u%d", learned)}}
			for _, again := range []bool{false, true} {
				claims, err := l.Claim(t.Context(), Request{Part: &p, Lane: tasks.QueueDefault, Again: again})
				if err != nil {
					t.Fatal(err)
				}
				var bad []string
				for u, id := range p.UserIDs {
					if f, is := claims[0].BadUser(pairs.User(u)); is {
						bad = append(bad, fmt.Sprint(id, f.ErrCode))
					}
				}
				for r, id := range p.RoleIDs {
					if f, is := claims[0].BadRole(pairs.Role(r)); is {
						bad = append(bad, fmt.Sprint(id, f.ErrCode))
					}
				}
				if want := []string{"u060121", "7 33011"}; !slices.Equal(bad, want) {
					t.Errorf("again %v: bad %q, want %q", again, bad, want)
				}
			}
		})
	}
}

// A record that is lost between two looks (a failover) is adopted by the second one, which sends the pairs after all.
func TestAPartWhoseRecordIsLostBetweenTwoLooksIsAdopted(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, 0)
	p := tasks.Part{JobID: "j", Part: "0", RoleIDs: []int64{7}, UserIDs: []string{"a", "b"}}
	if _, err := l.Claim(t.Context(), Request{Part: &p, Lane: tasks.QueueDefault}); err != nil {
		t.Fatal(err)
	}
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	claims, err := l.Claim(t.Context(), Request{Part: &p, Lane: tasks.QueueDefault, Begin: true, Again: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Settle(t.Context(), claims[0], Settlement{Outcome: Outcome{Kind: Removed}}); err != nil {
		t.Fatal(err)
	}
	if job, err := l.Get(t.Context(), "j"); err != nil || job.Pairs != (Pairs{Total: 2, Removed: 2}) {
		t.Errorf("%+v, %v: want both pairs removed", job.Pairs, err)
	}
	if jobs, err := l.List(t.Context(), 0, -1); err != nil || len(jobs) != 1 {
		t.Errorf("%+v, %v: want the job listed", jobs, err)
	}
}
