package faults

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/procstat"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

const (
	refusalLasts  = 12 * time.Second
	requestsLimit = 20  // a second and worker
	shareLimit    = 3.0 // of a processor and worker, in percent
	resumeLimit   = 2 * time.Second
)

// TestARefusalOfRedisCostsNextToNothing has Redis refuse commands in every way that a running fleet meets, and measures what
// two workers ask meanwhile and how soon calls go on. It prints a row of docs/reliability.md for each.
func TestARefusalOfRedisCostsNextToNothing(t *testing.T) {
	if !*recovery {
		t.Skip("takes minutes, and a machine that does nothing else (-recovery plays it)")
	}
	type act func(do func(args ...any), s *redistest.Server, admin *redis.Client)
	config := func(name, value string) act {
		return func(do func(args ...any), _ *redistest.Server, _ *redis.Client) { do("CONFIG", "SET", name, value) }
	}
	drop := func(do func(args ...any)) { do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") }
	for _, c := range []struct {
		name       string
		begin, end act
	}{
		{"BUSY", func(do func(args ...any), _ *redistest.Server, admin *redis.Client) {
			do("CONFIG", "SET", "busy-reply-threshold", "1")
			go admin.Eval(context.Background(), "while true do end", nil)
		}, func(do func(args ...any), _ *redistest.Server, _ *redis.Client) { do("SCRIPT", "KILL") }},
		{"NOPERM", func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
			do("ACL", "SETUSER", "worker", "-@all", "+ping")
		},
			func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
				do("ACL", "SETUSER", "worker", "+@all")
			}},
		{"NOAUTH", func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
			do("ACL", "SETUSER", "default", "resetpass", ">secret")
			drop(do)
		}, func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
			do("ACL", "SETUSER", "default", "nopass")
		}},
		{"WRONGPASS", func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
			do("ACL", "SETUSER", "worker", "resetpass", ">other")
			drop(do)
		}, func(do func(args ...any), _ *redistest.Server, _ *redis.Client) {
			do("ACL", "SETUSER", "worker", "resetpass", ">own")
		}},
		{"OOM", config("maxmemory", "1"), config("maxmemory", "0")},
		{"NOREPLICAS", config("min-replicas-to-write", "1"), config("min-replicas-to-write", "0")},
		{"MISCONF", func(do func(args ...any), s *redistest.Server, admin *redis.Client) {
			gone := filepath.Join(s.Dir, "gone")
			if err := os.Mkdir(gone, 0o700); err != nil {
				t.Error(err)
			}
			do("CONFIG", "SET", "appendonly", "no")
			do("CONFIG", "SET", "save", "3600 1")
			do("CONFIG", "SET", "dir", gone)
			if err := os.Remove(gone); err != nil {
				t.Error(err)
			}
			admin.BgSave(context.Background())
		}, config("save", "")},
		{"READONLY", func(do func(args ...any), _ *redistest.Server, _ *redis.Client) { do("REPLICAOF", "127.0.0.1", "1") },
			func(do func(args ...any), _ *redistest.Server, _ *redis.Client) { do("REPLICAOF", "NO", "ONE") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var seen arrivals
			server := redistest.Start(t, "--enable-protected-configs", "yes")
			rdb := server.Client()
			do := func(r *redis.Client) func(args ...any) {
				return func(args ...any) {
					t.Helper()
					if err := r.Do(ctx, args...).Err(); err != nil {
						t.Fatal(args, err)
					}
				}
			}
			do(rdb)("ACL", "SETUSER", "admin", "on", ">admin", "~*", "&*", "+@all")
			do(rdb)("ACL", "SETUSER", "worker", "on", ">own", "~*", "&*", "+@all")
			admin := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "admin", Password: "admin", ReadTimeout: time.Minute})
			defer admin.Close()
			as := "worker:own@"
			if c.name == "NOAUTH" {
				as = ""
			}
			m := &team{T: t, ctx: ctx, dir: t.TempDir(), target: server.Addr, as: as, env: []string{"UNROLE_QPS=10"},
				sim: simtest.Start(t, simulator.Options{Open: true, Latency: answerTime, Observe: seen.add})}
			m.start()
			m.start()
			m.leader()
			crowd(t, admin, tasks.QueueBulk, 300)
			until(ctx, t, "calls are made", func() bool { return len(seen.get()) > 20 })

			use := func() (asked int64, cpu [2]time.Duration) {
				for i := range m.workers {
					used, err := procstat.Read(m.workers[i].cmd.Process.Pid)
					if err != nil {
						t.Fatal(err)
					}
					asked, cpu[i] = asked+m.ways[i].asked.Load(), used.CPU
				}
				return asked, cpu
			}
			c.begin(do(admin), server, admin)
			asked, cpu := use()
			began := time.Now()
			until(ctx, t, "it has lasted", func() bool { return time.Since(began) > refusalLasts })
			askedThen, cpuThen := use()
			lasted := time.Since(began).Seconds()
			c.end(do(admin), server, admin)
			ended := time.Now()
			until(ctx, t, "calls go on", func() bool { return len(seen.after(ended)) > 0 })
			wentOn := seen.after(ended)[0].Arrived.Sub(ended)
			until(ctx, t, "all are called", func() bool { return len(seen.get()) >= 300 })
			each := float64(askedThen-asked) / lasted / 2
			share := func(i int) float64 { return 100 * (cpuThen[i] - cpu[i]).Seconds() / lasted }
			t.Logf("| %s | %.1f | %.1f / %.1f %% | %.2f s | %d |", c.name, each, share(0), share(1), wentOn.Seconds(), seen.repeated())
			if each > requestsLimit || share(0) > shareLimit || share(1) > shareLimit || wentOn > resumeLimit || seen.repeated() > 0 {
				t.Errorf("want at most %d requests a second and %.0f %% of a processor for each worker, calls within %v, none repeated",
					requestsLimit, shareLimit, resumeLimit)
			}
		})
	}
}
