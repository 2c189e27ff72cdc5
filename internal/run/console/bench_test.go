package console

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// BenchmarkPages measures the pages with 100,000 jobs in a real Redis, and the page of a job of a million pairs:
//
//	go test ./internal/run/console -run '^$' -bench Pages -benchtime 20x
func BenchmarkPages(b *testing.B) {
	d := newDesk(b, redistest.Start(b, "--save", "", "--appendonly", "no").Client())
	ctx := context.Background()
	const jobs, atOnce = 100_000, 2000
	began := time.Now()
	for from := 0; from < jobs; from += atOnce {
		_, err := d.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < from+atOnce; i++ {
				id := fmt.Sprintf("job-%06d", i)
				part := tasks.Part{V: tasks.Version, JobID: id, Part: "0", UserIDs: []string{fmt.Sprintf("user%06d", i), fmt.Sprintf("manager%03d", i%1000)}, RoleIDs: []int64{1507113578}}
				payload, err := part.Encode()
				if err != nil {
					return err
				}
				at := began.Add(time.Duration(i-jobs) * time.Second)
				key := "unrole:job:{" + id + "}"
				p.HSet(ctx, key, "content", "c", "phase", "submitted", "source", "hr", "reason", "left", "priority", "default", "submitted_by", "ann", "created_at",
					at.UTC().Format(time.RFC3339Nano), "finished_at", at.UTC().Format(time.RFC3339Nano), "total", 2, "removed", 2, "dead", 0, "cancelled", 0, "users", 2, "roles", 1)
				p.HSet(ctx, key+":parts", "0", payload)
				p.ZAdd(ctx, "unrole:jobs", redis.Z{Score: float64(at.UnixMicro()), Member: id})
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var users []string
	for i := range 100_000 {
		users = append(users, fmt.Sprintf("big%06d", i))
	}
	d.submit(enqueue.Submission{JobID: "million"}, users, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	measure := func(name, path string) {
		b.Run(name, func(b *testing.B) {
			var bytes int
			for b.Loop() {
				w := d.ask(httptest.NewRequest("GET", "/unrole"+path, nil))
				if w.Code != 200 {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
				bytes = w.Body.Len()
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
			b.ReportMetric(float64(bytes)/1024, "KiB")
		})
	}
	measure("removals", "/")
	measure("last page of removals", "/?page=4000")
	b.Run("first reading of the catalog, after the start", func(b *testing.B) {
		for b.Loop() {
			if err := newIndex(d.ledger).refresh(ctx); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
	})
	d.see("/?person=nobody")
	measure("search by person", "/?person=manager007")
	measure("search by source", "/?source=hr")
	measure("a job of a million pairs", "/jobs/million")
}
