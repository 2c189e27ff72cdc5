package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/tasks"
)

// PastJobs writes the records of n jobs that have ended, job-000000 and on, as a long past leaves them: each is about a user of
// its own and one of a thousand managers, and was submitted a second after the one before.
func PastJobs(t testing.TB, rdb *redis.Client, n int) {
	t.Helper()
	const atOnce = 2000
	began := time.Now()
	for from := 0; from < n; from += atOnce {
		_, err := rdb.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := from; i < min(n, from+atOnce); i++ {
				id := fmt.Sprintf("job-%06d", i)
				part := tasks.Part{JobID: id, Part: "0", UserIDs: []string{fmt.Sprintf("user%06d", i), fmt.Sprintf("manager%03d", i%1000)}, RoleIDs: []int64{1507113578}}
				payload, err := part.Encode()
				if err != nil {
					return err
				}
				at := began.Add(time.Duration(i-n) * time.Second)
				key := "unrole:job:{" + id + "}"
				p.HSet(t.Context(), key, "content", "c", "phase", "submitted", "source", "hr", "reason", "left", "priority", "default", "submitted_by", "ann", "created_at",
					at.UTC().Format(time.RFC3339Nano), "finished_at", at.UTC().Format(time.RFC3339Nano), "total", 2, "removed", 2, "dead", 0, "cancelled", 0, "users", 2, "roles", 1)
				p.HSet(t.Context(), key+":parts", "0", payload)
				p.ZAdd(t.Context(), "unrole:jobs", redis.Z{Score: float64(at.UnixMicro()), Member: id})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
