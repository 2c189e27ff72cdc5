// Command pace measures internal/pace in real time: several worker processes, one Redis, and a server that takes a
// number of calls per calendar second and refuses the rest, as DingTalk does.
//
//	go run ./bench/pace -redis 127.0.0.1:6379 -batches 600 -workers 2
//
// It prints one line per worker process and a table.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/unrole/unrole/internal/pace"
)

func main() {
	redisAddr := flag.String("redis", "127.0.0.1:6379", "address of the Redis to use")
	batches := flag.Int("batches", 600, "calls that have to be accepted")
	workers := flag.Int("workers", 2, "worker processes")
	qps := flag.Float64("qps", 20, "ceiling of the pace")
	capacity := flag.Int("capacity", 20, "calls that the server takes per calendar second")
	answer := flag.String("over", "throttled", "answer to calls over the capacity: throttled or busy")
	latency := flag.Duration("latency", 50*time.Millisecond, "time the server takes for an answer")
	server := flag.String("server", "", "internal: address of the server, set for worker processes")
	app := flag.String("app", fmt.Sprintf("bench-%d", time.Now().UnixNano()), "name of the shared pace")
	flag.Parse()
	ctx := context.Background()
	var err error
	if *server != "" {
		err = work(ctx, *redisAddr, *server, *app, *qps)
	} else {
		err = measure(ctx, *redisAddr, *app, *batches, *workers, *qps, *capacity, *answer, *latency)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pace:", err)
		os.Exit(1)
	}
}

// counter is the server's view: how many calls came in which calendar second, and how many batches are left.
type counter struct {
	mu               sync.Mutex
	second           int64
	used             int
	left             int
	accepted, over   int
	first, last      time.Time
	capacity, status int
	latency          time.Duration
}

func (c *counter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	now := time.Now()
	if c.first.IsZero() {
		c.first = now
	}
	if s := now.Unix(); s != c.second {
		c.second, c.used = s, 0
	}
	code := http.StatusOK
	switch {
	case c.left == 0:
		code = http.StatusGone
	default:
		if c.used++; c.used > c.capacity {
			c.over++
			code = c.status
			break
		}
		c.left--
		c.accepted++
		c.last = now
	}
	c.mu.Unlock()
	time.Sleep(c.latency)
	w.WriteHeader(code)
}

func measure(ctx context.Context, redisAddr, app string, batches, workers int, qps float64, capacity int, over string, latency time.Duration) error {
	c := &counter{left: batches, capacity: capacity, latency: latency, status: http.StatusTooManyRequests}
	if over == "busy" {
		c.status = http.StatusServiceUnavailable
	}
	srv := httptest.NewServer(c)
	defer srv.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	var cmds []*exec.Cmd
	for range workers {
		cmd := exec.CommandContext(ctx, self, "-redis", redisAddr, "-server", srv.URL, "-app", app,
			"-qps", strconv.FormatFloat(qps, 'g', -1, 64))
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start worker: %w", err)
		}
		cmds = append(cmds, cmd)
	}
	for _, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("worker: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	took := c.last.Sub(c.first).Seconds()
	fmt.Printf("workers %d  batches %d  calls %d  over the capacity %d (%.2f %%)  took %.2f s  limit used %.1f %%\n",
		workers, batches, c.accepted+c.over, c.over, 100*float64(c.over)/float64(c.accepted+c.over), took,
		100*float64(c.accepted-1)/took/float64(capacity))
	return nil
}

// work calls the server at the fleet's pace until it says that nothing is left.
func work(ctx context.Context, redisAddr, server, app string, qps float64) error {
	rdb := redis.NewClient(&redis.Options{Addr: redisAddr, DisableIdentity: true})
	defer rdb.Close()
	p, err := pace.New(rdb, pace.Config{App: app, QPS: qps})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	grants := 0
	for ctx.Err() == nil {
		g, err := p.Reserve(ctx)
		if err != nil {
			break
		}
		grants++
		wg.Go(func() {
			o, more := call(client, server)
			p.Report(context.WithoutCancel(ctx), g, o)
			if !more {
				stop()
			}
		})
	}
	wg.Wait()
	fmt.Printf("worker %d: %d grants\n", os.Getpid(), grants)
	return nil
}

func call(client *http.Client, server string) (o pace.Outcome, more bool) {
	resp, err := client.Post(server, "", nil)
	if err != nil {
		return pace.Outcome{Kind: pace.Busy}, true
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	switch resp.StatusCode {
	case http.StatusOK:
		return pace.Outcome{Kind: pace.Accepted}, true
	case http.StatusTooManyRequests:
		return pace.Outcome{Kind: pace.Throttled, Scope: pace.ScopeAPI, Why: "90018"}, true
	case http.StatusGone:
		return pace.Outcome{Kind: pace.Unused}, false
	default:
		return pace.Outcome{Kind: pace.Busy}, true
	}
}
