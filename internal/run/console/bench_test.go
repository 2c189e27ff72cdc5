package console

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
)

// BenchmarkPages measures the pages with 100,000 jobs in a real Redis, and the page of a job of a million pairs:
//
//	go test ./internal/run/console -run '^$' -bench Pages -benchtime 20x
func BenchmarkPages(b *testing.B) {
	d := newDesk(b, redistest.Start(b, "--save", "", "--appendonly", "no").Client())
	enginetest.PastJobs(b, d.rdb, 100_000)
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
	d.see("/") // as a worker, leaves the index of open jobs behind
	ending := make(chan struct{})
	defer close(ending)
	for when, after := range map[string]time.Duration{"the first page, right after a start": 0, "the first page, while the catalog is read": firstPage + 100*time.Millisecond} {
		b.Run(when, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				fresh := *d
				var err error
				if fresh.pages, err = New(Config{Redis: d.rdb, Ledger: d.ledger, Pacer: d.pacer, Prefix: "/unrole", Ending: ending, Log: zerolog.Nop()}); err != nil {
					b.Fatal(err)
				}
				time.Sleep(after)
				b.StartTimer()
				fresh.see("/")
				b.StopTimer()
				wholly(fresh.pages.(*Console).catalog)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/page")
		})
	}
	measure("removals", "/")
	measure("last page of removals", "/?page=4000")
	b.Run("first reading of the catalog, after the start", func(b *testing.B) {
		for b.Loop() {
			wholly(newCatalog(d.ledger, ending))
		}
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
	})
	wholly(d.pages.(*Console).catalog)
	measure("search by person", "/?person=manager007")
	measure("search by source", "/?source=hr")
	measure("a job of a million pairs", "/jobs/million")
}
