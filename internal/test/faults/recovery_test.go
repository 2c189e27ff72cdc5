package faults

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

const (
	nextCallLimit = 6 * time.Second
	urgentLimit   = 10 * time.Second
	// answerTime is how long the simulator takes, so that some calls are in flight at any moment.
	answerTime = 200 * time.Millisecond
	urgents    = 40
)

// arrivals are the calls that reached DingTalk.
type arrivals struct {
	mu    sync.Mutex
	calls []simulator.Call
}

func (a *arrivals) add(c simulator.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, c)
}

func (a *arrivals) get() []simulator.Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// after is how many calls have arrived since.
func (a *arrivals) after(t time.Time) []simulator.Call {
	return slices.DeleteFunc(a.get(), func(c simulator.Call) bool { return !c.Arrived.After(t) })
}

// repeated is how many users were called more than once; everybody has one role to lose.
func (a *arrivals) repeated() int {
	calls := map[string]int{}
	for _, c := range a.get() {
		for _, u := range c.Users {
			calls[u]++
		}
	}
	n := 0
	for _, c := range calls {
		if c > 1 {
			n++
		}
	}
	return n
}

// crowd submits a job of so many removals, each a call and a task of its own.
func crowd(t *testing.T, rdb redis.UniversalClient, lane string, n int) {
	t.Helper()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	r := &enqueue.Removals{}
	for i := range n {
		r.Add(fmt.Sprintf("%s%05d", lane, i), int64(1+slices.Index(tasks.Lanes(), lane))*1_000_000+int64(i))
	}
	if _, err := client.Submit(t.Context(), enqueue.Submission{JobID: lane, Removals: r, Priority: lane, MaxUsers: -1}); err != nil {
		t.Fatal(err)
	}
}

// team is some workers of the command, each of which reaches Redis by a way of its own.
type team struct {
	*testing.T
	ctx     context.Context
	dir     string
	sim     *simtest.Server
	target  string
	as      string   // user and password in the address of Redis, with an @
	env     []string // more of it
	workers []*process
	ways    []*proxy
}

func (m *team) start() {
	m.Helper()
	way := startProxy(m.T, m.target, 1)
	env := append(environment(m.dir, strings.Replace(way.url(), "://", "://"+m.as, 1), m.sim), "UNROLE_LOG_LEVEL=info")
	p, err := start(m.dir, append(env, m.env...), "worker")
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.ended })
	m.workers, m.ways = append(m.workers, p), append(m.ways, way)
}

// leader is the worker that took the lead last.
func (m *team) leader() int {
	m.Helper()
	found := -1
	until(m.ctx, m.T, "a worker leads", func() bool {
		for i, p := range m.workers {
			if bytes.Contains(p.output(), []byte("this worker takes the tasks")) {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

// TestCallsGoOnWithinSecondsOfTheLossOfALeader takes the leader away in the ways in which it can go, with removals waiting
// in every lane, and measures how long the others take. It prints a row of docs/reliability.md for each.
func TestCallsGoOnWithinSecondsOfTheLossOfALeader(t *testing.T) {
	if !*recovery {
		t.Skip("takes minutes, and a machine that does nothing else (-recovery plays it)")
	}
	for _, waiting := range []int{400, 8000} {
		for _, way := range []struct {
			name    string
			workers int
			lose    func(m *team, leader int)
		}{
			{"kill -9", 2, func(m *team, leader int) { m.workers[leader].signal(syscall.SIGKILL) }},
			{"SIGSTOP, and SIGCONT after 8 s", 2, func(m *team, leader int) {
				m.workers[leader].signal(syscall.SIGSTOP)
				time.AfterFunc(8*time.Second, func() { m.workers[leader].signal(syscall.SIGCONT) })
			}},
			{"cut off from Redis for 8 s", 2, func(m *team, leader int) {
				m.ways[leader].stall()
				time.AfterFunc(8*time.Second, m.ways[leader].heal)
			}},
			{"the only one, kill -9 and started again at once", 1, func(m *team, leader int) {
				m.workers[leader].signal(syscall.SIGKILL)
				<-m.workers[leader].ended
				m.start()
			}},
		} {
			t.Run(fmt.Sprint(way.name, "/", waiting), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				var seen arrivals
				server := redistest.Start(t)
				m := &team{T: t, ctx: ctx, dir: t.TempDir(), target: server.Addr,
					sim: simtest.Start(t, simulator.Options{Open: true, Latency: answerTime, Observe: seen.add})}
				for range way.workers {
					m.start()
				}
				leader := m.leader()
				crowd(t, server.Client(), tasks.QueueBulk, waiting/2)
				crowd(t, server.Client(), tasks.QueueDefault, waiting/2)
				until(ctx, t, "calls are made", func() bool { return len(seen.get()) > 10 })
				crowd(t, server.Client(), tasks.QueueUrgent, urgents)
				lost := time.Now()
				way.lose(m, leader)
				inFlight := 0
				until(ctx, t, "calls go on", func() bool { return len(seen.after(lost.Add(answerTime))) > 0 })
				for _, c := range seen.get() {
					if c.Arrived.After(lost.Add(-answerTime-50*time.Millisecond)) && c.Arrived.Before(lost.Add(answerTime)) {
						inFlight++
					}
				}
				wentOn := seen.after(lost.Add(answerTime))[0].Arrived.Sub(lost)
				urgent := func() int {
					done := map[string]bool{}
					for _, c := range seen.get() {
						if c.Users[0][:len(tasks.QueueUrgent)] == tasks.QueueUrgent {
							done[c.Users[0]] = true
						}
					}
					return len(done)
				}
				until(ctx, t, "all urgent ones are called", func() bool { return urgent() == urgents })
				done := time.Since(lost)
				// Who was frozen or cut off is back by then, and makes no call of its own.
				until(ctx, t, "the fault is long over", func() bool { return time.Since(lost) > 15*time.Second })
				t.Logf("| %s | %d | %.1f s | %.1f s | %d of %d in flight |", way.name, waiting, wentOn.Seconds(), done.Seconds(), seen.repeated(), inFlight)
				if wentOn > nextCallLimit || done > urgentLimit || seen.repeated() > inFlight {
					t.Errorf("want the next call within %v, all urgent ones within %v, and none repeated that was not in flight", nextCallLimit, urgentLimit)
				}
			})
		}
	}
}
