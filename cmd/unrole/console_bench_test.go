package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
)

// BenchmarkFirstPaint measures how long a browser takes from the address to the first that it shows of the console, with 100,000
// jobs in a real Redis, of a console that was just started and of one that runs:
//
//	go test ./cmd/unrole -run '^$' -bench FirstPaint -benchtime 10x
func BenchmarkFirstPaint(b *testing.B) {
	in := openBrowser(b)
	rdb := redistest.Start(b, "--save", "", "--appendonly", "no").Client()
	enginetest.PastJobs(b, rdb, 100_000)
	a, _, _ := testApp("", false, nil)
	// start starts a console, which ends with the function that it returns.
	start := func() (url string, stop func()) {
		ending, end := context.WithCancel(context.Background())
		pages, err := a.webPages(&config.Config{QPS: 20}, rdb, uiOptions{ending: ending.Done()}, zerolog.Nop())
		if err != nil {
			b.Fatal(err)
		}
		server := httptest.NewServer(pages)
		return server.URL, func() { end(); server.Close() }
	}
	paint := func(url string) float64 {
		in.open(url)
		in.await(`location.href.startsWith(` + quoted(url) + `) && performance.getEntriesByName("first-contentful-paint").length === 1`)
		at, err := strconv.ParseFloat(in.text(`performance.getEntriesByName("first-contentful-paint")[0].startTime`), 64)
		if err != nil {
			b.Fatal(err)
		}
		return at
	}
	url, stop := start()
	paint(url + "/") // the browser's own first one; and as a worker does, it leaves the index of open jobs behind
	measure := func(name string, paint func() float64) {
		b.Run(name, func(b *testing.B) {
			var sum, most float64
			for b.Loop() {
				at := paint()
				sum, most = sum+at, max(most, at)
			}
			b.ReportMetric(sum/float64(b.N), "ms/paint")
			b.ReportMetric(most, "ms/worst")
		})
	}
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<!doctype html><p>one word")) }))
	defer bare.Close()
	measure("one word, what the browser itself takes", func() float64 { return paint(bare.URL + "/") })
	measure("removals", func() float64 { return paint(url + "/") })
	measure("search by person", func() float64 { return paint(url + "/?person=manager007") })
	stop()
	measure("removals, just after a start", func() float64 {
		url, stop := start()
		defer stop()
		return paint(url + "/")
	})
}
