// Command scale measures a fleet that has a long past: so many finished jobs, and so many open ones that wait.
//
//	redis-server --port 6397 --save "" & go run ./bench/scale -redis 127.0.0.1:6397
//
// It writes their records into the Redis, which should be empty and used by nobody else, and prints how long the answers of
// list, show and status take, without the start of a process, and what a worker asks while it has nothing to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/procstat"
)

func main() {
	addr := flag.String("redis", "127.0.0.1:6379", "address of the Redis to use")
	finished := flag.Int("finished", 1_000_000, "finished jobs")
	open := flag.Int("open", 10_000, "open jobs")
	idle := flag.Duration("idle", time.Minute, "time to watch the idle worker for")
	flag.Parse()
	if err := run(context.Background(), *addr, *finished, *open, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, addr string, finished, open int, idle time.Duration) error {
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, ReadTimeout: time.Minute})
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
	} {
		var took []time.Duration
		for range 50 {
			began := time.Now()
			if err := q.ask(); err != nil {
				return fmt.Errorf("%s: %w", q.what, err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		fmt.Printf("%-20s median %5.1f ms, slowest of 50 %5.1f ms\n", q.what, ms(took[25]), ms(took[49]))
	}
	return watch(ctx, rdb, addr, idle)
}

func ms(d time.Duration) float64 { return 1000 * d.Seconds() }

func name(kind string, i int) string { return fmt.Sprintf("%s-%07d", kind, i) }

// fill writes records as they are when a job has ended, and when it has been submitted.
func fill(ctx context.Context, rdb *redis.Client, finished, open int) error {
	day := time.Now().Add(-24 * time.Hour)
	const page = 1000
	for from := 0; from < finished+open; from += page {
		if _, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := from; i < min(from+page, finished+open); i++ {
				kind, removed := "done", 1
				if i >= finished {
					kind, removed = "open", 0
				}
				id, at := name(kind, i), day.Add(time.Duration(i)*time.Millisecond).UTC().Format(time.RFC3339Nano)
				fields := []any{"source", "bench", "priority", "default", "phase", "submitted", "created_at", at, "total", 1, "removed", removed,
					"dead", 0, "cancelled", 0, "api_calls", removed, "touched_at", at}
				if removed > 0 {
					fields = append(fields, "finished_at", at)
				}
				p.HSet(ctx, "unrole:job:{"+id+"}", fields...)
				p.ZAdd(ctx, "unrole:jobs", redis.Z{Score: float64(day.UnixMicro() + int64(i)*1000), Member: id})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// watch prints what a worker of the real command asks while nothing can be done.
func watch(ctx context.Context, rdb *redis.Client, addr string, idle time.Duration) error {
	sim := httptest.NewServer(simulator.New(simulator.Options{Open: true}))
	defer sim.Close()
	work, err := os.MkdirTemp("", "unrole-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binary := filepath.Join(work, "unrole")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/unrole").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, "worker")
	cmd.Env = append(os.Environ(), "REDIS_URL=redis://"+addr, "DINGTALK_BASE_URL="+sim.URL, "DINGTALK_APP_KEY="+simulator.AppKey,
		"DINGTALK_APP_SECRET="+simulator.AppSecret, "UNROLE_LOG_LEVEL=error")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}()
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
	const begins = 50 * time.Second // until the first round of the reconciler is over, which looks at every open job
	for _, phase := range []struct {
		what string
		d    time.Duration
	}{{"worker, its first look at the open jobs included", begins}, {"worker, idle", idle}} {
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
