package ledger

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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
