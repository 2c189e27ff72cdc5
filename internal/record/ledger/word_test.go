package ledger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// The clock of Redis may be behind the one by which a job was due.
func TestWhatIsSubmittedAfterAJobWasDueHasItsTurnAfterIt(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, 0)
		at := time.Now().Add(time.Hour).Truncate(time.Second)
		planned := func(id string, at time.Time) Job {
			t.Helper()
			part := tasks.Part{V: tasks.Version, JobID: id, Part: "0", UserIDs: []string{"u"}, RoleIDs: []int64{1}}
			if _, err := l.Create(t.Context(), NewJob{JobID: id, CreatedAt: time.Now(), At: at, Pairs: 1, Users: 1, Roles: 1, Content: id, Plan: "p", Parts: 1}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.PutParts(t.Context(), id, "p", []tasks.Part{part}); err != nil {
				t.Fatal(err)
			}
			if err := l.Planned(t.Context(), id, "p", 1); err != nil {
				t.Fatal(err)
			}
			job, err := l.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return job
		}
		due, early := planned("due", at), planned("early", time.Time{})
		if !early.Before(due) {
			t.Error("a job that is submitted before another one is due has its turn after it")
		}
		if err := l.Due(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if late := planned("late", time.Time{}); !due.Before(late) {
			t.Error("a job that is submitted after another one was due has its turn before it")
		}
	})
}

// Who comes later waits for the calls of a cancelled job that are still to come, and for nothing else of it.
func TestWhatIsCancelledIsSettled(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, 0)
	part := &tasks.Part{V: tasks.Version, JobID: "j", Part: "0", Action: tasks.Add, UserIDs: []string{"a", "b"}, RoleIDs: []int64{1, 2}}
	claims, err := l.Claim(t.Context(), Request{Part: part, Lane: "default"})
	if err != nil {
		t.Fatal(err)
	}
	given := pairs.Rectangle{Users: []pairs.User{1}, Roles: []pairs.Role{0}}
	if _, err := l.Settle(t.Context(), claims[0], Settlement{Pairs: given, Outcome: Outcome{Kind: Pending, Given: true}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []map[string][]int64{{"a": {1, 2}, "b": {1, 2}}, {"b": {1}}} {
		have, err := l.Unsettled(t.Context(), "j")
		if err != nil || !cmp.Equal(have, want) {
			t.Errorf("unsettled are %v, want %v; %v", have, want, err)
		}
		if _, err := l.Cancel(t.Context(), "j", "me", "a mistake"); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever was submitted about a few people, and whatever became of it: the last word about a pair is that of the job that was
// submitted last and was not refused it.
func TestTheLastWordIsThatOfTheLaterSubmission(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	users := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		rdb.FlushAll(context.Background())
		ctx := context.Background()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		type said struct {
			job  Job
			kind map[string]Kind
		}
		var all []said
		for n := range rapid.IntRange(1, 6).Draw(t, "jobs") {
			action := rapid.SampledFrom([]tasks.Action{tasks.Remove, tasks.Add}).Draw(t, "action")
			of := rapid.SliceOfNDistinct(rapid.SampledFrom(users), 1, len(users), rapid.ID).Draw(t, "users")
			// The id says nothing of the order, nor does the clock of who submits.
			id := fmt.Sprintf("%s-%d", rapid.StringMatching("[a-z]{3}").Draw(t, "id"), n)
			created := time.Now().Add(time.Duration(rapid.IntRange(-3, 3).Draw(t, "clock")) * time.Second)
			part := tasks.Part{V: action.Version(), Action: action, JobID: id, Part: "0", UserIDs: of, RoleIDs: []int64{1}}
			_, err := l.Create(ctx, NewJob{JobID: id, CreatedAt: created, Pairs: len(of), Users: len(of), Roles: 1, Content: id, Plan: "p", Parts: 1, Action: action})
			must(err)
			_, err = l.PutParts(ctx, id, "p", []tasks.Part{part})
			must(err)
			must(l.Planned(ctx, id, "p", 1))
			claims, err := l.Claim(ctx, Request{Part: &part, Lane: "default"})
			must(err)
			kinds := map[string]Kind{}
			for i, user := range of {
				kinds[user] = rapid.SampledFrom([]Kind{Removed, Dead, Pending}).Draw(t, "kind")
				if kinds[user] != Pending {
					_, err := l.Settle(ctx, claims[0], Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{pairs.User(i)}}, Outcome: Outcome{Kind: kinds[user]}})
					must(err)
				}
			}
			job, err := l.Get(ctx, id)
			must(err)
			all = append(all, said{job, kinds})
		}
		for n, own := range all {
			want, got := Words{}, Words{}
			for _, user := range users {
				want[user], got[user] = map[int64]Word{}, map[int64]Word{}
				for _, later := range all[n+1:] {
					if kind, about := later.kind[user]; about && kind != Dead {
						want[user][1] = Word{later.job.Action, later.job.JobID}
					}
				}
			}
			must(l.Since(ctx, own.job, func(Job) bool { return true }, got))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("since job %d of %d: %s", n, len(all), diff)
			}
		}
	})
}

// BenchmarkSince measures the search for later words of 10,000 jobs in a real Redis, a thousand of which are about one of the people:
//
//	go test ./internal/record/ledger -run '^$' -bench Since -benchtime 3x
func BenchmarkSince(b *testing.B) {
	rdb := redistest.Start(b, "--save", "", "--appendonly", "no").Client()
	l := New(rdb, 0)
	ctx := context.Background()
	const jobs = 10_000
	began := time.Now()
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range jobs {
			id := fmt.Sprintf("job-%06d", i)
			part := tasks.Part{V: tasks.Version, JobID: id, Part: "0", UserIDs: []string{fmt.Sprintf("user%06d", i), fmt.Sprintf("manager%d", i%10)}, RoleIDs: []int64{1}}
			payload, err := part.Encode()
			if err != nil {
				return err
			}
			at := began.Add(time.Duration(i) * time.Second)
			key := "unrole:job:{" + id + "}"
			p.HSet(ctx, key, "content", "c", "phase", "submitted", "created_at", at.UTC().Format(time.RFC3339Nano), "total", 2, "removed", 0, "dead", 0, "cancelled", 0)
			p.HSet(ctx, key+":parts", "0", payload)
			p.ZAdd(ctx, indexKey, redis.Z{Score: float64(at.UnixMicro()), Member: id})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	own, err := l.Get(ctx, "job-000000")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		words := Words{"manager7": {}}
		if err := l.Since(ctx, own, func(Job) bool { return true }, words); err != nil || words["manager7"][1].JobID != "job-009997" {
			b.Fatal(err, words)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
}
