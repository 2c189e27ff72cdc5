package ledger

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// ask opens the record of a job that is asked for by names.
func ask(t *testing.T, l *Ledger, id string) {
	t.Helper()
	if existed, err := l.Ask(t.Context(), Asked{JobID: id, Source: "hr", Reason: "left", CreatedAt: time.Now(), Content: "c", Request: []byte(`{"elements":[{"user_ids":["ann"]}]}`)}); err != nil || existed {
		t.Fatal(existed, err)
	}
}

func TestAJobThatIsBeingAskedForIsNotForgotten(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		clock := time.Now()
		l.now = func() time.Time { return clock }
		listed := func(want ...string) {
			t.Helper()
			if ids, err := l.Resolving(t.Context(), tasks.QueueDefault, 10); err != nil || !slices.Equal(ids, want) {
				t.Fatalf("listed are %v, %v; want %v", ids, err, want)
			}
		}
		// Its name stands before its record, and a worker finds it in between. It may have come that far a while ago, too.
		for _, id := range []string{"j", "late"} {
			rdb.ZAdd(t.Context(), resolvingKey(tasks.QueueDefault), redis.Z{Score: float64(clock.UnixMicro()), Member: id})
			if id == "late" {
				clock = clock.Add(2 * lingers)
			}
			var unknown *NotFoundError
			if _, _, err := l.TakeAsked(t.Context(), id, "1"); !errors.As(err, &unknown) {
				t.Fatal(err)
			}
			ask(t, l, id)
			if err := l.ResolvingGone(t.Context(), tasks.QueueDefault, id); err != nil {
				t.Fatal(err)
			}
			listed(id)
			if err := l.ResolvingDone(t.Context(), tasks.QueueDefault, id); err != nil {
				t.Fatal(err)
			}
		}
		rdb.ZAdd(t.Context(), resolvingKey(tasks.QueueDefault), redis.Z{Score: float64(clock.UnixMicro()), Member: "none"})
		clock = clock.Add(2 * lingers)
		if err := l.ResolvingGone(t.Context(), tasks.QueueDefault, "none"); err != nil {
			t.Fatal(err)
		}
		listed()
	})
}

// A worker that finds a name before its record, and the record a moment later, has not seen what was asked: it must not take the
// job for one that was looked up.
func TestAJobThatComesWhileItIsLookedForIsNoneYet(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		hooked := redis.NewClient(rdb.Options())
		defer hooked.Close()
		hooked.AddHook(&meanwhile{jobKey("j"), func() { ask(t, New(rdb, time.Hour), "j") }})
		l := New(hooked, time.Hour)
		var unknown *NotFoundError
		if job, data, err := l.TakeAsked(t.Context(), "j", "1"); !errors.As(err, &unknown) {
			t.Fatalf("%s with %d bytes to be looked up, %v", job.State, len(data), err)
		}
	})
}

// resolve creates what a job of names comes to, as the worker of a lead has it.
func resolve(t *testing.T, l *Ledger, id string, lead lease.Fence, awaiting string, seen *snapshot.Snapshot) Created {
	t.Helper()
	if _, _, err := l.TakeAsked(t.Context(), id, lead); err != nil {
		t.Fatal(err)
	}
	created, err := l.Create(LookedUp(t.Context(), lead), NewJob{JobID: id, Source: "hr", Reason: "left", Pairs: 1, Users: 1, Roles: 1, Plan: "p", Parts: 1, Awaiting: awaiting,
		OtherApproves: awaiting != "", Snapshot: seen})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// What counts is what the last one saw who looked, also where it comes to the same pairs.
func TestWhoLooksAnewSaysWhetherSomebodyHasToApprove(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		first := &snapshot.Snapshot{SeenAt: time.Now().Add(-time.Hour), Rows: []snapshot.Unresolved{{Pointer: "/removals/0/users/0", Reason: snapshot.Unknown}}}
		for _, c := range []struct{ id, before, after string }{{"stricter", "", AwaitingApproval}, {"milder", AwaitingApproval, ""}} {
			ask(t, l, c.id)
			resolve(t, l, c.id, "1", c.before, first)
			if again := resolve(t, l, c.id, "2", c.after, &snapshot.Snapshot{SeenAt: time.Now()}); !again.NeedParts || !again.NeedTasks {
				t.Errorf("%+v", again)
			}
			job, err := l.Get(t.Context(), c.id)
			if err != nil || job.Awaiting != c.after || job.OtherApproves != (c.after != "") || job.Unresolved != nil || time.Since(job.Snapshot.At) > time.Minute {
				t.Errorf("%s: %+v %v", c.id, job, err)
			}
			if seen, err := l.Snapshot(t.Context(), c.id); err != nil || seen == nil || len(seen.Rows) != 0 {
				t.Errorf("%s: %+v %v", c.id, seen, err)
			}
		}
	})
}

// A job that is withdrawn before it was planned keeps nobody who might have been meant.
func TestAWithdrawnJobNamesNobody(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		ask(t, l, "j")
		resolve(t, l, "j", "1", "", &snapshot.Snapshot{SeenAt: time.Now(), Rows: []snapshot.Unresolved{{Reason: snapshot.Ambiguous, Candidates: []snapshot.Candidate{{UserID: "ann", Name: "安"}}}}})
		if _, err := l.Cancel(t.Context(), "j", "hr", "stays"); err != nil {
			t.Fatal(err)
		}
		for field, value := range rdb.HGetAll(t.Context(), jobKey("j")).Val() {
			if strings.Contains(value, "ann") || strings.Contains(value, "安") {
				t.Errorf("%s: %s", field, value)
			}
		}
	})
}

// A request that waits to be looked up names people, and whoever is to be forgotten is found in it.
func TestPeopleAreFoundInWhatIsStillAsked(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		ask(t, l, "j")
		if found, err := l.Naming(t.Context(), forget.New([]string{"ann"})); err != nil || len(found) != 1 || !found["j"].Sure {
			t.Errorf("%v %v", found, err)
		}
		if found, err := l.Naming(t.Context(), forget.New([]string{"bob"})); err != nil || len(found) != 0 {
			t.Errorf("%v %v", found, err)
		}
	})
}

// Why a job waits is what the last one says who looks for it.
func TestAnEarlierLeadNotesNothingOfAJobThatIsLookedUp(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		ask(t, l, "j")
		for _, lead := range []lease.Fence{"1", "2"} {
			if _, _, err := l.TakeAsked(t.Context(), "j", lead); err != nil {
				t.Fatal(err)
			}
		}
		for lead, why := range map[lease.Fence]string{"2": "busy", "1": "stale"} {
			if err := l.NoteAsked(t.Context(), "j", why, lead); err != nil {
				t.Fatal(err)
			}
		}
		if job, err := l.Get(t.Context(), "j"); err != nil || job.ResolvingFailed != "busy" {
			t.Errorf("%+v %v", job, err)
		}
	})
}

// One question tells an idle worker whether a job of any lane is to be looked up.
func TestAJobOfAnyLaneMayWaitToBeLookedUp(t *testing.T) {
	for _, lane := range tasks.Lanes() {
		_, rdb := redistest.Memory(t)
		l := New(rdb, 0)
		if l.AnyResolving(t.Context()) {
			t.Error("one waits where none was asked for")
		}
		rdb.ZAdd(t.Context(), resolvingKey(lane), redis.Z{Score: 1, Member: "job"})
		if !l.AnyResolving(t.Context()) {
			t.Errorf("none waits in lane %s", lane)
		}
	}
}
