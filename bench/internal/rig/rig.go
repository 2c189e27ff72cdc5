// Package rig is what the measurements of bench have in common: a Redis, an engine or a process of the command, and how
// times are printed.
package rig

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
)

// QPS is the pace of every fleet that is measured, in calls a second: DingTalk's own limit.
const QPS = 20

// RedisFlag is the flag of every command that needs a Redis.
func RedisFlag() *string {
	return flag.String("redis", "", "URL of an empty Redis to use, instead of starting redis-server for the measurement")
}

// Main runs a measurement until it ends, somebody interrupts it, or nobody reads on what it prints, and ends the process with 1 if it
// failed.
func Main(measure func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	err := measure(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// MainWithRedis is Main with a Redis and a client of it; url and args are those of OpenRedis.
func MainWithRedis(url string, measure func(context.Context, *Redis, *redis.Client) error, args ...string) {
	Main(func(ctx context.Context) error {
		store, err := OpenRedis(ctx, url, args...)
		if err != nil {
			return err
		}
		defer store.Close()
		rdb := store.Client()
		defer rdb.Close()
		return measure(ctx, store, rdb)
	})
}

// Redis is where a measurement keeps its records.
type Redis struct {
	// Options are for clients of it; DB may be changed.
	Options redis.Options
	server  *exec.Cmd
	dir     string
}

// OpenRedis uses the Redis of url, or where that is empty starts a redis-server without persistence on a free port of the
// loopback interface; more arguments are for that one. It answers when OpenRedis returns; Close ends what was started.
func OpenRedis(ctx context.Context, url string, args ...string) (*Redis, error) {
	r := &Redis{}
	if url != "" {
		o, err := redis.ParseURL(url)
		if err != nil {
			return nil, err
		}
		r.Options = *o
	} else {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		r.Options.Addr = l.Addr().String()
		_, port, _ := net.SplitHostPort(r.Options.Addr)
		l.Close()
		if r.dir, err = os.MkdirTemp("", "unrole-bench-"); err != nil {
			return nil, err
		}
		r.server = exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", r.dir, "--save", ""}, args...)...)
		if err := r.server.Start(); err != nil {
			os.RemoveAll(r.dir)
			return nil, fmt.Errorf("start redis-server (Debian: apt-get install redis-server; or give -redis): %w", err)
		}
	}
	r.Options.DisableIdentity = true
	first := r.Options
	first.MaxRetries = 20
	rdb := redis.NewClient(&first)
	defer rdb.Close()
	if err := rdb.Ping(ctx).Err(); err != nil {
		r.Close()
		return nil, fmt.Errorf("Redis at %s does not answer: %w", r.Options.Addr, err)
	}
	return r, nil
}

// Client returns a client, to be closed by the caller.
func (r *Redis) Client() *redis.Client {
	o := r.Options
	return redis.NewClient(&o)
}

// Close ends the server, if it was started here.
func (r *Redis) Close() {
	if r.server != nil {
		r.server.Process.Kill()
		r.server.Wait()
		os.RemoveAll(r.dir)
	}
}

// Engines runs so many engines, as `unrole worker` has them, in this process until ctx ends; running is done when they have
// stopped. They call the DingTalk at baseURL, so many times a second at most, through transport if there is one.
func Engines(ctx context.Context, running *sync.WaitGroup, rdb redis.UniversalClient, n int, qps float64, baseURL string, transport http.RoundTripper) error {
	for range n {
		e, err := app.New(&config.Config{QPS: qps, DingTalk: config.DingTalk{BaseURL: baseURL, AppKey: simulator.AppKey, AppSecret: simulator.AppSecret}},
			app.Parts{Redis: rdb, Transport: transport})
		if err != nil {
			return err
		}
		running.Go(func() { e.Run(ctx) })
	}
	return nil
}

// Build builds the command into a directory of its own, which remove takes away.
func Build(ctx context.Context) (binary string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "unrole-bench-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	binary = filepath.Join(dir, "unrole")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/unrole").CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	return binary, remove, nil
}

// URL is the address of a client's Redis for REDIS_URL, without a password.
func URL(rdb *redis.Client) string {
	o := rdb.Options()
	return fmt.Sprintf("redis://%s/%d", o.Addr, o.DB)
}

// Worker starts the worker of a binary as a process of its own; stop interrupts it and waits for its end.
func Worker(binary string, rdb *redis.Client, baseURL string) (cmd *exec.Cmd, stop func(), err error) {
	cmd = exec.Command(binary, "worker")
	cmd.Env = append(os.Environ(), "REDIS_URL="+URL(rdb), "DINGTALK_BASE_URL="+baseURL, "DINGTALK_APP_KEY="+simulator.AppKey,
		"DINGTALK_APP_SECRET="+simulator.AppSecret, "UNROLE_LOG_LEVEL=error")
	cmd.Stderr = os.Stderr
	return cmd, func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	}, cmd.Start()
}

// Times are how long something took, each time it was done.
type Times []time.Duration

func (t Times) String() string {
	if len(t) == 0 {
		return "never"
	}
	sorted := slices.Sorted(slices.Values(t))
	at := func(q float64) float64 {
		return 1000 * sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Seconds()
	}
	return fmt.Sprintf("median %.1f ms, p99 %.1f ms, longest %.1f ms", at(0.5), at(0.99), at(1))
}
