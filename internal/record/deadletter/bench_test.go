package deadletter_test

import (
	"testing"

	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// What an operator waits for, against a real Redis with its append-only file on:
//
//	go test ./internal/record/deadletter -run '^$' -bench . -benchtime 1x
func BenchmarkLetters(b *testing.B) {
	w := newWorld(b, redistest.Start(b).Client(), simulator.Options{})
	w.put("bulk", 30_000)
	w.put("replayed", 20_000)
	b.Run("list 50000", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := w.queue.Each(b.Context(), deadletter.Filter{}, func(deadletter.Letter) error { n++; return nil }); err != nil || n != 50_000 {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(50_000*float64(b.N)/b.Elapsed().Seconds(), "letters/s")
	})
	b.Run("replay 20000 of 50000", func(b *testing.B) {
		s, err := w.queue.Select(b.Context(), deadletter.Filter{JobIDs: []string{"replayed"}})
		if err != nil {
			b.Fatal(err)
		}
		done, err := w.queue.Replay(b.Context(), s, deadletter.Order{By: "bench"})
		if err != nil || done.Letters+done.Passed != 20_000 {
			b.Fatal(done, err)
		}
		b.ReportMetric(20_000/b.Elapsed().Seconds(), "letters/s")
	})
	b.Run("discard 30000", func(b *testing.B) {
		s, err := w.queue.Select(b.Context(), deadletter.Filter{JobIDs: []string{"bulk"}})
		if err != nil {
			b.Fatal(err)
		}
		done, err := w.queue.Discard(b.Context(), s, deadletter.Order{By: "bench", Why: "bench"})
		if err != nil || done.Letters != 30_000 || done.Expiring != 1 {
			b.Fatal(done, err)
		}
		b.ReportMetric(30_000/b.Elapsed().Seconds(), "letters/s")
	})
}
