package redisconn

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/test/redistest"
)

// server is a Redis that refuses what it is told to refuse, and counts what it is asked.
type server struct {
	mu      sync.Mutex
	refuses map[string]error // by the second word of a command: the script
	asked   int
}

func (s *server) set(script string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses[script] = err
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *server) process(_ context.Context, cmd redis.Cmder) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	name, _ := cmd.Args()[len(cmd.Args())-1].(string)
	return s.refuses[name]
}

func TestAGateAsksOncePerPauseAndOpensForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := NewGate(zerolog.New(&log))
		s := &server{refuses: map[string]error{}}
		ask := entrance{g, t.Context()}.ProcessHook(s.process)
		for _, text := range []string{"OOM command not allowed", "ERR never seen"} {
			log.Reset()
			scripts := []string{"a", "b", "c"}
			for _, name := range scripts {
				s.set(name, reply(text))
			}
			before := s.count()
			var done atomic.Int32
			for range 300 {
				for _, name := range scripts {
					go func() {
						if err := ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", name)); err != nil {
							t.Error(err)
						}
						done.Add(1)
					}()
				}
			}
			synctest.Wait()
			time.Sleep(10 * time.Second)
			first := s.count() - before
			time.Sleep(10 * time.Second)
			if n := s.count() - before - first; n > 20 {
				t.Errorf("%s: %d commands in 10 s", text, n)
			}
			if done.Load() > 0 {
				t.Fatalf("%s: %d ended", text, done.Load())
			}
			if r, _, refused := g.Refusal(); !refused || r.Says == "" {
				t.Errorf("%s: the gate does not say it: %v", text, r)
			}
			for _, name := range scripts {
				s.set(name, nil)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if done.Load() != 900 {
				t.Errorf("%s: %d of 900 ended within 2 s", text, done.Load())
			}
			if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "Redis works again") {
				t.Errorf("%s: logged %d lines: %s", text, n, log.String())
			}
		}
	})
}

func TestWhatIsNotRefusedPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(zerolog.Nop())
		s := &server{refuses: map[string]error{"settle": reply("OOM no"), "x": reply("OOM no")}}
		ask := entrance{g, t.Context()}.ProcessHook(s.process)
		go ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", "settle"))
		time.Sleep(time.Minute)
		if err := ask(t.Context(), redis.NewCmd(t.Context(), "get", "key")); err != nil {
			t.Error(err)
		}
		if err := ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", "read")); err != nil {
			t.Error(err)
		}
		// A command that cannot wait for long hears of it at once, the second time unasked.
		before := s.count()
		soon, cancelSoon := context.WithTimeout(t.Context(), time.Hour)
		defer cancelSoon()
		for range 100 {
			if err := ask(soon, redis.NewCmd(soon, "set", "x")); err == nil {
				t.Error("passed")
			}
		}
		if n := s.count() - before; n > 2 {
			t.Errorf("%d of 100 were sent", n)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ask(ended, redis.NewCmd(ended, "evalsha", "settle")); err == nil {
			t.Error("an ended context passed")
		}
		s.set("settle", nil)
		time.Sleep(2 * time.Second)
	})
}

func TestAScriptThatWaitsEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ending, end := context.WithCancel(t.Context())
		s := &server{refuses: map[string]error{}}
		s.set("a", reply("OOM command not allowed"))
		ask := entrance{NewGate(zerolog.Nop()), ending}.ProcessHook(s.process)
		var asking sync.WaitGroup
		for range 3 {
			asking.Go(func() {
				if ask(context.Background(), redis.NewCmd(context.Background(), "evalsha", "a")) == nil {
					t.Error("it got through")
				}
			})
		}
		time.Sleep(10 * time.Second)
		end()
		asking.Wait()
	})
}

func TestARefusalThatNobodyTriesAgainIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(zerolog.Nop())
		s := &server{refuses: map[string]error{"x": reply("OOM no")}}
		soon, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		entrance{g, t.Context()}.ProcessHook(s.process)(soon, redis.NewCmd(soon, "set", "x"))
		time.Sleep(forgotten + time.Second)
		if r, _, refused := g.Refusal(); refused {
			t.Error(r)
		}
	})
}

func do(t *testing.T, c *redis.Client, args ...any) {
	t.Helper()
	if err := c.Do(context.Background(), args...).Err(); err != nil {
		t.Errorf("%v: %v", args, err)
	}
}

// refusals of a real Redis: how each begins and ends.
var real = map[string]struct {
	begin, end func(*testing.T, *redistest.Server, *redis.Client)
}{
	"OOM":        {config("maxmemory", "1"), config("maxmemory", "0")},
	"NOREPLICAS": {config("min-replicas-to-write", "1"), config("min-replicas-to-write", "0")},
	"READONLY": {func(t *testing.T, _ *redistest.Server, c *redis.Client) { do(t, c, "REPLICAOF", "127.0.0.1", "1") },
		func(t *testing.T, _ *redistest.Server, c *redis.Client) { do(t, c, "REPLICAOF", "NO", "ONE") }},
	"NOPERM": {func(t *testing.T, _ *redistest.Server, c *redis.Client) {
		do(t, c, "ACL", "SETUSER", "unrole", "-evalsha", "-eval")
	},
		func(t *testing.T, _ *redistest.Server, c *redis.Client) {
			do(t, c, "ACL", "SETUSER", "unrole", "+evalsha", "+eval")
		}},
	"WRONGPASS": {func(t *testing.T, _ *redistest.Server, c *redis.Client) {
		do(t, c, "ACL", "SETUSER", "unrole", "<secret", ">other")
		do(t, c, "CLIENT", "KILL", "USER", "unrole")
	}, func(t *testing.T, _ *redistest.Server, c *redis.Client) {
		do(t, c, "ACL", "SETUSER", "unrole", "<other", ">secret")
	}},
	"BUSY": {func(t *testing.T, _ *redistest.Server, c *redis.Client) {
		do(t, c, "CONFIG", "SET", "busy-reply-threshold", "1")
		blocker := redis.NewClient(c.Options())
		t.Cleanup(func() { blocker.Close() })
		go blocker.Eval(context.Background(), "while true do end", nil)
	}, func(t *testing.T, _ *redistest.Server, c *redis.Client) { do(t, c, "SCRIPT", "KILL") }},
	"MISCONF": {func(t *testing.T, s *redistest.Server, c *redis.Client) {
		gone := filepath.Join(s.Dir, "gone")
		os.Mkdir(gone, 0o700)
		do(t, c, "CONFIG", "SET", "appendonly", "no")
		do(t, c, "CONFIG", "SET", "save", "3600 1")
		do(t, c, "CONFIG", "SET", "dir", gone)
		os.Remove(gone)
		c.BgSave(context.Background())
	}, config("save", "")},
}

func config(name, value string) func(*testing.T, *redistest.Server, *redis.Client) {
	return func(t *testing.T, _ *redistest.Server, c *redis.Client) { do(t, c, "CONFIG", "SET", name, value) }
}

// counter counts what reaches the connection.
type counter struct{ sent, dialled atomic.Int64 }

func (c *counter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.dialled.Add(1)
		return next(ctx, network, addr)
	}
}
func (c *counter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (c *counter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.sent.Add(1)
		return next(ctx, cmd)
	}
}

func TestARealRedisThatRefusesIsAskedSeldomAndFoundAgain(t *testing.T) {
	for code, does := range real {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, "--enable-protected-configs", "yes")
			admin := s.Client()
			do(t, admin, "ACL", "SETUSER", "unrole", "on", ">secret", "~*", "&*", "+@all")
			rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "unrole", Password: "secret", DisableIdentity: true, MaxRetries: 3,
				MinRetryBackoff: 50 * time.Millisecond, MaxRetryBackoff: time.Second, DialerRetries: 1})
			defer rdb.Close()
			gate, count := NewGate(zerolog.Nop()), &counter{}
			client, closeClient := Steady(t.Context(), rdb, gate)
			defer closeClient()
			client.AddHook(count)

			write := redis.NewScript(`redis.call('INCR', KEYS[1]) return 1`)
			ctx, stop := context.WithCancel(t.Context())
			var done atomic.Int64
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					for ctx.Err() == nil {
						if err := write.Run(ctx, client, []string{"n"}).Err(); err != nil && ctx.Err() == nil {
							t.Error(err)
						}
						done.Add(1)
						time.Sleep(time.Millisecond) // a busy loop, not a wait
					}
				})
			}
			defer all.Wait()
			defer stop()

			does.begin(t, s, admin)
			until(t, 10*time.Second, func() bool { r, _, refused := gate.Refusal(); return refused && r.Code == code })
			time.Sleep(time.Second) // the pauses grow
			sent, dialled := count.sent.Load(), count.dialled.Load()
			time.Sleep(2 * time.Second)
			if n := count.sent.Load() - sent; n > 20 {
				t.Errorf("%d commands in 2 s", n)
			}
			if n := count.dialled.Load() - dialled; n > 12 {
				t.Errorf("%d connections in 2 s", n)
			}
			does.end(t, s, admin)
			stood := done.Load()
			until(t, 5*time.Second, func() bool { return done.Load() > stood+100 })
			// The count of what was written is that of what was reported as done: nothing is half.
			stop()
			all.Wait()
			if n, err := admin.Get(context.Background(), "n").Int64(); err != nil || n < done.Load()-50 || n > done.Load() {
				t.Errorf("%d done, %d written, %v", done.Load(), n, err)
			}
		})
	}
}

// until waits until the condition holds, and fails after so long.
func until(t *testing.T, patience time.Duration, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatal("it did not come to that")
		}
	}
}
