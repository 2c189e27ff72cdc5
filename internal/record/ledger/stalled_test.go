package ledger

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A job that stands still is looked at after a while, then less and less often, and one that something was wrong with, or
// that has moved, as soon as at first.
func TestWhatStandsStillIsLookedAtLessAndLessOften(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	part := tasks.Part{UserIDs: []string{"a", "b"}, RoleIDs: []int64{1}}
	job(t, l, "j", part)
	part.JobID, part.Part = "j", "0"
	if err := l.Submitted(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	l.now = func() time.Time { return clock }
	rounds := l.Rounds(time.Minute, 5*time.Minute)
	const step = 30 * time.Second
	// looked plays rounds for a while and returns after how long the job was among the stalled ones.
	looked := func(d time.Duration) (at []time.Duration) {
		t.Helper()
		for began := clock; clock.Sub(began) < d; clock = clock.Add(step) {
			stalled, err := rounds.Stalled(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(stalled) > 0 {
				at = append(at, clock.Sub(began))
				if err := l.Checked(t.Context(), "j"); err != nil {
					t.Fatal(err)
				}
			}
		}
		return at
	}
	const m = time.Minute
	if at := looked(6 * time.Hour); !slices.Equal(at, []time.Duration{m, 6 * m, 16 * m, 36 * m, 76 * m, 156 * m, 276 * m}) {
		t.Errorf("looked at after %v", at)
	}
	if err := rdb.HSet(t.Context(), jobKey("j"), "touched_at", formatTime(clock)).Err(); err != nil {
		t.Fatal(err)
	}
	if at := looked(time.Hour); !slices.Equal(at, []time.Duration{36 * m, 41 * m, 51 * m}) {
		t.Errorf("moved, it was looked at after %v", at)
	}
	for what, wake := range map[string]func(){"woken": func() { rounds.Wake("j") }, "with all others": rounds.WakeAll} {
		wake()
		if at := looked(10 * m); len(at) == 0 || at[0] > 0 {
			t.Errorf("%s, it was looked at after %v", what, at)
		}
	}
}

// sent counts commands.
type sent struct{ n int }

func (s *sent) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *sent) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { s.n++; return next(ctx, cmd) }
}

func (s *sent) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { s.n += len(cmds); return next(ctx, cmds) }
}

// A round asks about the jobs that are due for a look, and not about the others.
func TestJobsThatRestCostNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	const n = 10 * pageOfJobs
	at := formatTime(time.Now())
	for i := range n {
		id := fmt.Sprint("job-", i)
		rdb.HSet(t.Context(), jobKey(id), "total", 1, "phase", phaseSubmitted, "created_at", at)
		rdb.ZAdd(t.Context(), indexKey, redis.Z{Score: float64(1 + i), Member: id})
	}
	rounds := l.Rounds(0, time.Minute)
	rounds.most = n
	stalled, err := rounds.Stalled(t.Context())
	if err != nil || len(stalled) != n {
		t.Fatal(len(stalled), err)
	}
	var asked sent
	rdb.AddHook(&asked)
	if stalled, err = rounds.Stalled(t.Context()); err != nil || len(stalled) != 0 {
		t.Fatal(len(stalled), err)
	}
	if most := n/pageOfJobs + 2; asked.n > most {
		t.Errorf("%d commands for %d jobs that rest, want %d for their names", asked.n, n, most)
	}
}

// A fleet that starts knows none of its jobs. It reads so many at a time, and comes to all of them, also past those that stay awake.
func TestAFleetThatStartsLooksAtItsJobsInTurns(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	at := formatTime(time.Now())
	const most, n = 10, 25
	_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range n {
			id, phase := fmt.Sprint("job-", i), phaseSubmitted
			if i%2 == 0 {
				phase = phasePlanning // has no rest
			}
			p.HSet(t.Context(), jobKey(id), "total", 1, "phase", phase, "created_at", at)
			p.ZAdd(t.Context(), indexKey, redis.Z{Score: float64(1 + i), Member: id})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rounds := l.Rounds(0, time.Hour)
	rounds.most = most
	seen := map[string]bool{}
	for look := 1; len(seen) < n/2; look++ {
		stalled, err := rounds.Stalled(t.Context())
		if err != nil || len(stalled) > most || look > 4 {
			t.Fatalf("look %d: %d jobs, %d seen, %v", look, len(stalled), len(seen), err)
		}
		for _, job := range stalled {
			if seen[job.JobID] {
				t.Fatalf("%s was handed out twice", job.JobID)
			}
			seen[job.JobID] = true
		}
	}
}

// Jobs that are never put to rest, as those that wait to be looked up, stand in front of all others, however many they are.
func TestJobsThatStayAwakeKeepNoOtherFromItsTurn(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	const most, awake, n = 10, 9, 30
	at := formatTime(time.Now())
	_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range n {
			id, phase := fmt.Sprintf("job-%02d", i), phaseSubmitted
			if i < awake {
				phase = phaseResolving
			}
			p.HSet(t.Context(), jobKey(id), "total", 1, "phase", phase, "created_at", at)
			p.ZAdd(t.Context(), indexKey, redis.Z{Score: float64(1 + i), Member: id})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rounds := l.Rounds(0, time.Hour)
	rounds.most = most
	seen := map[string]bool{}
	for look := 1; len(seen) < n-awake; look++ {
		stalled, err := rounds.Stalled(t.Context())
		if err != nil || look > 4 {
			t.Fatalf("look %d: %d of %d jobs seen, %v", look, len(seen), n-awake, err)
		}
		for _, job := range stalled {
			seen[job.JobID] = true
		}
	}
}
