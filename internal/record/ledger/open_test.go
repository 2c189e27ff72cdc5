package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// settleAll claims the parts and gives their pairs the outcome.
func settleAll(t *testing.T, l *Ledger, o Outcome, parts ...tasks.Part) {
	t.Helper()
	for i := range parts {
		c, err := l.Claim(t.Context(), Request{Part: &parts[i], Lane: "default"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Settle(t.Context(), c[0], Settlement{Outcome: o}); err != nil {
			t.Fatal(err)
		}
	}
}

func openNow(t *testing.T, l *Ledger) (ids []string) {
	t.Helper()
	for j, err := range l.Open(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, j.JobID)
	}
	slices.Sort(ids)
	return ids
}

func TestOpenJobsAreFoundWithoutReadingTheOthers(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	clock := time.Now()
	l.now = func() time.Time { return clock }
	one := []tasks.Part{{JobID: "one", Part: "0", UserIDs: []string{"a"}, RoleIDs: []int64{1}}}
	job(t, l, "one", one...)
	job(t, l, "two", tasks.Part{UserIDs: []string{"a"}, RoleIDs: []int64{1}})
	if ids := openNow(t, l); !slices.Equal(ids, []string{"one", "two"}) {
		t.Fatal(ids)
	}
	one[0].JobID, one[0].Part = "one", "0"
	settleAll(t, l, Outcome{Kind: Dead, Letter: "0-u0"}, one...)
	if ids := openNow(t, l); !slices.Equal(ids, []string{"two"}) {
		t.Fatal(ids)
	}
	tidied := func() []string {
		t.Helper()
		if _, err := l.Rounds(0, 0).Stalled(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids, err := l.OpenNames(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		return ids
	}
	// What was put in lately stays: it may be opening just now.
	if ids := tidied(); !slices.Equal(ids, []string{"one", "two"}) {
		t.Error(ids)
	}
	clock = clock.Add(2 * lingers)
	if ids := tidied(); !slices.Equal(ids, []string{"two"}) {
		t.Error(ids)
	}
	// A dead letter that is tried again opens its job.
	letter := one[0]
	letter.Part, letter.Failure = "0-u0", &tasks.Failure{Reason: tasks.ReasonBusy}
	c, err := l.Claim(t.Context(), Request{Part: &letter, Lane: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Settle(t.Context(), c[0], Settlement{Outcome: Outcome{Kind: Pending, Letter: "0-u0"}}); err != nil {
		t.Fatal(err)
	}
	if ids := openNow(t, l); !slices.Equal(ids, []string{"one", "two"}) {
		t.Error(ids)
	}
}

func TestJobsOfAnOlderVersionAreIndexedOnce(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	at := time.Now().Truncate(time.Microsecond)
	for i := range 3 * pageOfJobs {
		id := fmt.Sprintf("job-%d", i)
		rdb.HSet(t.Context(), jobKey(id), "total", 1, "removed", i%2, "phase", phaseSubmitted, "created_at", formatTime(at))
		if i%2 == 1 {
			rdb.HSet(t.Context(), jobKey(id), "finished_at", formatTime(at))
		}
		// Many of one microsecond: pages are told apart by score.
		rdb.ZAdd(t.Context(), indexKey, redis.Z{Score: float64(at.UnixMicro() + int64(i/(2*pageOfJobs))), Member: id})
	}
	if ids := openNow(t, l); len(ids) != 3*pageOfJobs/2 {
		t.Fatalf("%d open jobs", len(ids))
	}
	n := 0
	for _, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3*pageOfJobs {
		t.Errorf("%d jobs", n)
	}
	rdb.HSet(t.Context(), jobKey("late"), "total", 1, "phase", phaseSubmitted, "created_at", formatTime(at))
	rdb.ZAdd(t.Context(), indexKey, redis.Z{Score: float64(at.UnixMicro()), Member: "late"})
	if slices.Contains(openNow(t, l), "late") {
		t.Error("the index was built again")
	}
	if ttl := rdb.TTL(t.Context(), indexedKey).Val(); ttl <= indexedAnew || ttl > indexedFor {
		t.Errorf("whoever reads waits for it in %v", ttl)
	}
	// A worker has it built anew before somebody waits for that.
	rdb.PExpire(t.Context(), indexedKey, indexedFor-indexedAnew)
	if openNow(t, l); slices.Contains(openNow(t, l), "late") {
		t.Error("who reads it builds it anew before it is due")
	}
	if _, err := l.Rounds(0, 0).Stalled(t.Context()); err != nil || !slices.Contains(openNow(t, l), "late") {
		t.Errorf("it was not built anew: %v", err)
	}
}
