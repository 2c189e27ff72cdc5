package fleet

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/redisconn"
)

var (
	seeds = flag.Int("seeds", 30, "random histories to play")
	seed  = flag.Uint64("seed", 1, "seed of the first one; the others follow")
	trace = flag.String("trace", "", "write every operation of the histories to this file")
)

func TestMain(m *testing.M) {
	redisconn.LogTo(zerolog.Nop()) // connections break all the time
	os.Exit(m.Run())
}

func TestHistories(t *testing.T) {
	began := time.Now()
	for i := range uint64(*seeds) {
		s := *seed + i
		if !t.Run(fmt.Sprint("seed-", s), func(t *testing.T) { playSeed(t, s) }) {
			t.Logf("replay: go test ./internal/test/fleet -run TestHistories -seeds 1 -seed %d -v", s)
		}
	}
	t.Logf("%d histories in %v", *seeds, time.Since(began).Round(time.Millisecond))
}

func playSeed(t *testing.T, seed uint64) {
	var to *os.File
	if *trace != "" {
		var err error
		if to, err = os.Create(*trace); err != nil {
			t.Fatal(err)
		}
		defer to.Close()
	}
	p := planOf(seed)
	began := time.Now()
	var got outcome
	if to != nil {
		got = play(t, p, to)
	} else {
		got = play(t, p, nil)
	}
	t.Logf("seed %d: %d workers, %d jobs, %d events; %d operations, %d calls in %v, took %v; trace %016x", seed, p.workers, len(p.jobs), len(p.events),
		got.operations, got.calls, got.took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), got.trace)
	if t.Failed() {
		for _, e := range p.events {
			t.Logf("%.3fs %v", e.at.Seconds(), e)
		}
		for _, line := range got.logs[max(0, len(got.logs)-60):] {
			t.Log(line)
		}
	}
}
