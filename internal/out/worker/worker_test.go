package worker

import (
	"context"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func newInspector(rdb redis.UniversalClient) *asynq.Inspector {
	return asynq.NewInspectorFromRedisClient(rdb)
}

func TestEveryPairIsRemovedInOneCallPerBatch(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		users, roles := names("u", 250), roleIDs(20)
		w.grant(users, roles)
		w.submit("clean", users, roles)
		w.work()
		job := w.finished("clean")
		if job.State != ledger.StateCompleted || job.Pairs.Removed != 5000 || job.APICalls != 3 {
			t.Errorf("got %+v, want 5000 pairs removed in 3 calls", job)
		}
		if n := w.sim.Assignments(); n != 0 {
			t.Errorf("%d pairs are still held in the directory", n)
		}
		for key, row := range w.rows("clean") {
			if row.Outcome.Kind != ledger.Removed || row.Outcome.RequestID == "" {
				t.Fatalf("%s: %+v, want removed with a request id", key, row.Outcome)
			}
		}
	})
}

func TestABadIDIsDeadLetteredAloneAndTheOthersAreRemoved(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{BadUsers: []string{"u007"}, GoneUsers: []string{"u042"}, SystemRoles: []int64{1507113503}})
		users, roles := names("u", 100), roleIDs(20)
		w.grant(users, roles)
		w.submit("bad", users, roles)
		w.work()
		job := w.finished("bad")
		if want := (ledger.Pairs{Total: 2000, Removed: 98 * 19, Dead: 2000 - 98*19}); job.Pairs != want || job.State != ledger.StateCompletedWithDeadLetter {
			t.Errorf("got %+v, want %+v", job, want)
		}
		letters := w.letters()
		if len(letters) != 3 {
			t.Errorf("%d dead letters, want one per bad id", len(letters))
		}
		reasons := map[tasks.Reason]int{}
		for name, l := range letters {
			reasons[l.Failure.Reason] += l.Owned()
			if l.Failure.RequestID == "" || l.Failure.ErrCode == 0 || l.Failure.Queue != tasks.QueueDefault {
				t.Errorf("letter %s says too little: %+v", name, l.Failure)
			}
		}
		if n := reasons[tasks.ReasonInvalidUser] + reasons[tasks.ReasonUserGone] + reasons[tasks.ReasonSystemRole]; n != int(job.Pairs.Dead) {
			t.Errorf("the letters hold %d pairs, the ledger counts %d dead", n, job.Pairs.Dead)
		}
	})
}

func TestAForeignPartOfAnySizeIsAdoptedAndSplit(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{Open: true, KeepCalls: 0})
		payload, err := tasks.Part{JobID: "foreign", Part: "0", RoleIDs: roleIDs(45), UserIDs: names("u", 1200)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		client := asynq.NewClientFromRedisClient(rdb)
		if _, err := client.EnqueueContext(context.Background(), asynq.NewTask(tasks.TypeRemove, payload)); err != nil {
			t.Fatal(err)
		}
		w.work()
		w.waitFor("foreign")
		job := w.finished("foreign")
		if job.Source != ledger.SourceQueue || job.Pairs.Removed != 45*1200 || job.APICalls != 36 {
			t.Errorf("got %+v, want an adopted job with 54000 pairs removed in 36 calls", job)
		}
	})
}

// Every single removal is a job of its own: what their calls show of the share of bad ids must not begin anew each time.
func TestCallsForSeveralJobsLearnTogether(t *testing.T) {
	of := func(jobs ...string) *group {
		g := &group{}
		for _, id := range jobs {
			g.members = append(g.members, &member{stay: &stay{visit: &visit{part: &tasks.Part{JobID: id}}}})
		}
		return g
	}
	l := newJobs()
	if l.learned(of("a", "b")) != l.learned(of("c", "d", "e")) {
		t.Error("a burst does not learn from its last call")
	}
	if l.learned(of("a")) == l.learned(of("a", "b")) || l.learned(of("a")) == l.learned(of("b")) {
		t.Error("the batches of one job learn from others'")
	}
	if l.learned(of("a", "a")) != l.learned(of("a")) {
		t.Error("a job does not learn from its own batches")
	}
}
