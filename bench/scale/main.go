// Command scale measures a fleet that has a long past: so many finished jobs, and so many open ones that wait.
//
//	go run ./bench/scale
//
// It writes their records into the Redis, and prints how long the answers of list, show, status and search and the first pages of the
// console take, without the start of a process, and what a worker asks while it has nothing to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/console"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/procstat"
	"github.com/unrole/unrole/tasks"
)

func main() {
	url := rig.RedisFlag()
	finished := flag.Int("finished", 1_000_000, "finished jobs")
	open := flag.Int("open", 10_000, "open jobs")
	first := flag.Duration("first", 11*time.Minute, "time that the worker has for its first looks at the open jobs, a thousand in half a minute")
	idle := flag.Duration("idle", time.Minute, "time to watch the idle worker for after that")
	flag.Parse()
	rig.Main(func(ctx context.Context) error { return run(ctx, *url, *finished, *open, *first, *idle) })
}

func run(ctx context.Context, url string, finished, open int, first, idle time.Duration) error {
	store, err := rig.OpenRedis(ctx, url)
	if err != nil {
		return err
	}
	defer store.Close()
	store.Options.ReadTimeout = time.Minute
	rdb := store.Client()
	defer rdb.Close()
	if err := fill(ctx, rdb, finished, open); err != nil {
		return err
	}
	l := ledger.New(rdb, 0)
	began := time.Now()
	if _, err := l.OpenNames(ctx); err != nil {
		return err
	}
	fmt.Printf("index of open jobs, built once a day  %d ms\n", time.Since(began).Milliseconds())
	r, one := fleet.NewReader(rdb, l), name("open", finished+open/2)
	pacer, err := pace.New(rdb, pace.Config{App: "bench", QPS: 20, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	pages, err := console.New(console.Config{Redis: rdb, Ledger: l, Pacer: pacer, Ending: ctx.Done(), Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	page := func(path string) (body string, err error) {
		w := httptest.NewRecorder()
		if pages.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); w.Code != http.StatusOK {
			return "", fmt.Errorf("%s: %d", path, w.Code)
		}
		return w.Body.String(), nil
	}
	search := "/?person=" + person(finished/2)
	for _, at := range []struct{ what, path string }{{"the console's first page, right after its start", "/"}, {"its first search, of what it has read", search}} {
		began := time.Now()
		if _, err := page(at.path); err != nil {
			return err
		}
		fmt.Printf("%-48s %d ms\n", at.what, time.Since(began).Milliseconds())
	}
	began = time.Now()
	for whole := false; !whole; {
		body, err := page(search)
		if err != nil {
			return err
		}
		whole = !strings.Contains(body, "still being read")
	}
	fmt.Printf("%-48s %.1f s\n", "all is searched after", time.Since(began).Seconds())
	began = time.Now()
	for _, err := range l.Find(ctx, ledger.Filter{UserIDs: []string{"nobody"}}, "") {
		if err != nil {
			return err
		}
	}
	fmt.Printf("%-48s %.1f s\n", "a person in all jobs, as jobs list --user", time.Since(began).Seconds())
	for _, q := range []struct {
		what string
		ask  func() error
	}{
		{"the last 20 jobs", func() error { _, err := l.List(ctx, 0, 20); return err }},
		{"20 open jobs", func() error {
			n := 0
			for _, err := range l.Open(ctx) {
				if n++; err != nil || n == 20 {
					return err
				}
			}
			return nil
		}},
		{"one job", func() error { _, err := l.Get(ctx, one); return err }},
		{"how many jobs", func() error { _, err := l.Count(ctx); return err }},
		{"queues and workers", func() error {
			if _, err := r.Queues(ctx); err != nil {
				return err
			}
			_, err := r.Workers(ctx)
			return err
		}},
		{"the console's page", func() error { _, err := page("/"); return err }},
		{"its search", func() error { _, err := page(search); return err }},
	} {
		var took rig.Times
		for range 50 {
			began := time.Now()
			if err := q.ask(); err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			took = append(took, time.Since(began))
		}
		fmt.Printf("%-20s %s\n", q.what, took)
	}
	return watch(ctx, rdb, first, idle)
}

func name(kind string, i int) string { return fmt.Sprintf("%s-%07d", kind, i) }

func person(i int) string { return fmt.Sprintf("user%07d", i) }

// fill writes records of a month, as they are when a job has ended, and when it has been submitted.
func fill(ctx context.Context, rdb *redis.Client, finished, open int) error {
	const past = 30 * 24 * time.Hour
	step := past / time.Duration(finished+open)
	began := time.Now().Add(-past)
	const page = 1000
	for from := 0; from < finished+open; from += page {
		if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < min(from+page, finished+open); i++ {
				kind, removed := "done", 1
				if i >= finished {
					kind, removed = "open", 0
				}
				id, at := name(kind, i), began.Add(time.Duration(i)*step).UTC().Format(time.RFC3339Nano)
				fields := []any{"source", "bench", "priority", "default", "phase", "submitted", "created_at", at, "total", 1, "removed", removed,
					"dead", 0, "cancelled", 0, "api_calls", removed, "touched_at", at}
				if removed > 0 {
					fields = append(fields, "finished_at", at)
				}
				part := tasks.Part{JobID: id, Part: "0", UserIDs: []string{person(i)}, RoleIDs: []int64{1507113578}}
				payload, err := part.Encode()
				if err != nil {
					return err
				}
				p.HSet(ctx, "unrole:job:{"+id+"}", fields...)
				if removed > 0 { // else a worker takes them for what lost its tasks
					p.HSet(ctx, "unrole:job:{"+id+"}:parts", part.Part, payload)
				}
				p.ZAdd(ctx, "unrole:jobs", redis.Z{Score: float64(began.Add(time.Duration(i) * step).UnixMicro()), Member: id})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// watch prints what a worker of the real command asks while nothing can be done.
func watch(ctx context.Context, rdb *redis.Client, first, idle time.Duration) error {
	sim := httptest.NewServer(simulator.New(simulator.Options{Open: true}))
	defer sim.Close()
	binary, cleanup, err := rig.Build(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	cmd, stop, err := rig.Worker(binary, rdb, sim.URL)
	if err != nil {
		return err
	}
	defer stop()
	read := func() (commands int64, cpu time.Duration, err error) {
		used, err := procstat.Read(cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		info, err := rdb.InfoMap(ctx, "stats").Result()
		if err != nil {
			return 0, 0, err
		}
		commands, err = strconv.ParseInt(info["Stats"]["total_commands_processed"], 10, 64)
		return commands, used.CPU, err
	}
	for _, phase := range []struct {
		what string
		d    time.Duration
	}{{"worker, its first looks at the open jobs", first}, {"worker, idle", idle}} {
		before, cpu, err := read()
		if err != nil {
			return err
		}
		time.Sleep(phase.d)
		after, then, err := read()
		if err != nil {
			return err
		}
		fmt.Printf("%s: %.0f commands a second, those in scripts included, %.1f %% of one processor\n", phase.what,
			float64(after-before)/phase.d.Seconds(), 100*(then-cpu).Seconds()/phase.d.Seconds())
	}
	return nil
}
