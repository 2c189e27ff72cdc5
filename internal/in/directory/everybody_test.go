package directory

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

func indexed(t testing.TB, d *Directory, rdb redis.UniversalClient) *Directory {
	t.Helper()
	x, err := index.New(index.Config{Redis: rdb, App: "app", Secret: []byte("secret"), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return d.With(x)
}

func find(t testing.TB, d *Directory, kind lists.NamedBy, text string) []string {
	t.Helper()
	found, err := d.Find(t.Context(), lists.Person{By: kind, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return ids(found.Users)
}

func TestAnIndexAnswersAsTheDirectoryDoesAndIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.Virtual(t)()
		base := indexed(t, open(t, company(simulator.Options{Latency: time.Second}), 20), rdb)
		lookups := func() int {
			d := base.Fresh()
			for number, want := range map[string][]string{"00412": {"wang1"}, "412": {"wang2"}, "77": {"twin1", "twin2"}} {
				if got := find(t, d, lists.JobNumber, number); !cmp.Equal(got, want) {
					t.Errorf("%s: %v, want %v", number, got, want)
				}
			}
			if got := find(t, d, lists.Email, "WANG@example.com"); !cmp.Equal(got, []string{"wang2"}) {
				t.Errorf("by e-mail: %v", got)
			}
			n, _ := d.Lookups()
			return n
		}
		first := lookups()
		if n := lookups(); n != 5 || first <= n {
			t.Errorf("%d lookups, then %d: want one for each person who fits", first, n)
		}
	})
}

// Numbers pass from one person to another while the index is old: whoever is named has the number now.
func TestAnOldIndexNamesNobodyWhoHasTheNumberNoMore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := simulator.New(simulator.Options{})
			numbers := rapid.SampledFrom([]string{"", "1", "2", "3"})
			people := []string{"a", "b", "c", "d"}
			has := map[string]string{}
			give := func(id, number string) {
				has[id] = number
				sim.AddPerson(simulator.Person{UserID: id, JobNumber: number})
			}
			for _, id := range people {
				give(id, numbers.Draw(rt, "number"))
			}
			base := indexed(t, open(t, sim, 1e6), redistest.Virtual(t)())
			find(t, base, lists.JobNumber, "1")
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				id := rapid.SampledFrom(people).Draw(rt, "who")
				if rapid.IntRange(0, 4).Draw(rt, "leaves") == 0 {
					sim.Leave(id)
					delete(has, id)
				} else {
					give(id, numbers.Draw(rt, "number"))
				}
			}
			time.Sleep(10 * time.Second)
			for _, number := range []string{"1", "2", "3"} {
				got := find(t, base.Fresh(), lists.JobNumber, number)
				if len(got) == 0 {
					for id, of := range has {
						if of == number {
							rt.Errorf("%s has %s, and nobody was found", id, number)
						}
					}
				}
				for _, id := range got {
					if has[id] != number {
						rt.Errorf("%s has %q, and was named by %s", id, has[id], number)
					}
				}
			}
		})
	})
}

// crowd is a large organisation: departments of 50 people each, in three levels, answering after 200 ms.
type crowd struct {
	Source
	people int
}

func (c crowd) Departments(_ context.Context, below int64) (subs []dingtalk.Department, err error) {
	time.Sleep(200 * time.Millisecond)
	for id := below*10 + 1; below < 100 && id <= below*10+9; id++ {
		if int(id-11)*50 < c.people {
			subs = append(subs, dingtalk.Department{ID: id, Parent: below})
		}
	}
	return subs, nil
}

func (c crowd) Members(_ context.Context, department, cursor int64, size int) (page dingtalk.MembersPage, err error) {
	time.Sleep(200 * time.Millisecond)
	share := c.people / 91 // of 1 + 9 + 81 departments, the root taking what is left
	from, to := 0, share
	if department == dingtalk.RootDepartment {
		to = c.people - 90*share
	} else {
		from = int(department) * 1000
		to = from + share
	}
	end := min(from+int(cursor)+size, to)
	for i := from + int(cursor); i < end; i++ {
		page.Users = append(page.Users, dingtalk.User{UserID: fmt.Sprint("u", i), JobNumber: fmt.Sprint(100_000 + i), Email: fmt.Sprint("u", i, "@example.com")})
	}
	page.Next, page.HasMore = int64(end-from), end < to
	return page, nil
}

func TestTwentyThousandPeopleAreIndexedWithinMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.Virtual(t)()
		d, err := New(crowd{people: 20_000}, 20)
		if err != nil {
			t.Fatal(err)
		}
		indexed(t, d, rdb)
		began := time.Now()
		if err := d.index.Renew(t.Context(), began, d.eachPerson); err != nil {
			t.Fatal(err)
		}
		n, _ := d.Lookups()
		t.Logf("%d lookups in %v", n, time.Since(began))
		if took := time.Since(began); took > 15*time.Minute {
			t.Errorf("it took %v", took)
		}
		if fields := rdb.HLen(t.Context(), keyOf(t, rdb)).Val(); fields != 40_000 {
			t.Errorf("%d signs, want 40000", fields)
		}
	})
}

func keyOf(t testing.TB, rdb redis.UniversalClient) string {
	t.Helper()
	keys := redistest.Keys(t, rdb)
	at := slices.IndexFunc(keys, func(key string) bool { return len(key) > 7 && key[len(key)-7:] == ":people" })
	if at < 0 {
		t.Fatalf("no index in %v", keys)
	}
	return keys[at]
}
