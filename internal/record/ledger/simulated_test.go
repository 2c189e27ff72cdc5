package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestEveryAuditEntryOfASimulationSaysSoAndNoOther(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l, ctx := New(rdb, time.Hour), t.Context()
		for _, simulated := range []bool{true, false} {
			id := map[bool]string{true: "simulated", false: "real"}[simulated]
			parts := []tasks.Part{{JobID: id, Part: "0", UserIDs: []string{"u", "v"}, RoleIDs: []int64{7}}}
			_, err := l.Create(ctx, NewJob{JobID: id, CreatedAt: time.Now(), Pairs: 2, Content: "c", Plan: "p", Parts: 1, Simulated: simulated})
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(err)
			_, err = l.PutParts(ctx, id, "p", parts)
			must(err)
			must(l.Planned(ctx, id, "p", 1))
			must(l.Submitted(ctx, id))
			_, err = l.Settle(ctx, claim(t, l, parts[0]), Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0}}, Outcome: Outcome{Kind: Removed, At: time.Now()}})
			must(err)
			_, err = l.Cancel(ctx, id, "me", `said "simulated":true in jest`)
			must(err)
			var events []Event
			must(l.Trail(ctx, id, "", func(e TrailEntry) error {
				entry, err := e.Entry()
				if entry.Simulated != simulated || strings.Count(e.JSON, `"simulated":`) > 1 {
					t.Errorf("%s: %s", id, e.JSON)
				}
				events = append(events, entry.Event)
				return err
			}))
			if len(events) < 3 {
				t.Errorf("%s: the trail is %v", id, events)
			}
		}
	})
}
