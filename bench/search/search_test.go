// Package search measures what bad ids, poison and bursts cost: each line of a table, played in virtual time by a real worker
// over miniredis and the simulator, with the calls and the time that it may take.
//
//	go test ./bench/search -v -every
//	go test ./bench/search -v -every -run Costs/bad_role -count 10
//
// Without -every only those lines are played that take a second.
package search

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/simulator"
)

// line is one line of the table.
type line struct {
	name  string
	under setting
	// play brings a world to its end and returns what may be said about the run besides its figures.
	play  func(w *world) string
	calls int           // the most it may take
	lasts time.Duration // the longest it may take
	slow  bool          // to play
}

var every = flag.Bool("every", false, "play the slow lines too")

func table() []line {
	var lines []line
	for _, latency := range []time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second} {
		for _, qps := range []float64{2, 20, 200} {
			lines = append(lines, line{name: fmt.Sprintf("3 bad users in 3 batches, %v calls a second, latency %v", qps, latency), slow: qps != 20, calls: 35, lasts: time.Minute,
				under: setting{qps: qps, sim: simulator.Options{Latency: latency, BadUsers: spread(3, 100)}},
				play:  func(w *world) string { return w.one(product(100, 60), 3*60) },
			})
		}
	}
	company := covertest.Large(400).Draw(1)
	return append(lines,
		// 2 × 82 calls ÷ 20, and 2.5 s for the token, whose calls are busy too.
		line{name: "burst of 300 single removals, every other call is busy", slow: true, calls: 240, lasts: 18900 * time.Millisecond,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond, Busy: 0.5}},
			play: func(w *world) string {
				return w.burst(covertest.Large(300).Draw(1), 300*time.Millisecond, time.Minute)
			},
		},
		// Alone, the one has nothing that proves DingTalk to be up; it waits for others.
		line{name: "burst of 100 single removals, one is always busy", slow: true, calls: 80, lasts: 8 * time.Second,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, UserCodes: map[string]int{user(50): -1}}},
			play: func(w *world) string {
				return w.burst(covertest.Large(100).Draw(1), 300*time.Millisecond, time.Minute, user(50))
			},
		},
		line{name: "burst of 300 single removals within 300 ms", slow: true, calls: 90, lasts: 6 * time.Second,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond}},
			play:  func(w *world) string { return w.burst(covertest.Large(300).Draw(1), 300*time.Millisecond, time.Minute) },
		},
		line{name: "a bad role in 20 batches", calls: 32, lasts: time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: time.Second, BadRoles: []int64{7}}},
			play:  func(w *world) string { return w.one(product(2000, 20), 2000) },
		},
		line{name: "poison: 2 users of 10 batches are always busy", calls: 110, lasts: 90 * time.Second,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, UserCodes: map[string]int{user(150): -1, user(777): -1}}},
			play: func(w *world) string {
				w.submit("job", product(1000, 20))
				return w.ended("job", 5*time.Minute, 40)
			},
		},
		line{name: "poison: a role of 10 batches is always busy", calls: 330, lasts: 3 * time.Minute,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, RoleCodes: map[int64]int{roleID(7): -1}}},
			play: func(w *world) string {
				w.submit("job", product(1000, 20))
				return w.ended("job", 10*time.Minute, 1000)
			},
		},
		line{name: "poison: a role that is all its job is about, while others pass", slow: true, calls: 120, lasts: 2 * time.Minute,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, RoleCodes: map[int64]int{roleID(7): -1}}},
			play: func(w *world) string {
				one := &enqueue.Removals{}
				for u := range 300 {
					one.Add(user(u), roleID(7))
				}
				w.submit("job", one)
				return w.among("job", 10*time.Minute, 300)
			},
		},
		line{name: "poison: a user and a role of one batch are always busy", calls: 110, lasts: 2 * time.Minute,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, UserCodes: map[string]int{user(50): -1}, RoleCodes: map[int64]int{roleID(7): -1}}},
			play: func(w *world) string {
				w.submit("job", product(100, 20))
				return w.ended("job", time.Hour, 119)
			},
		},
		line{name: "poison: a user and a role of 10 batches are always busy", slow: true, calls: 400, lasts: 3 * time.Minute,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, UserCodes: map[string]int{user(150): -1}, RoleCodes: map[int64]int{roleID(7): -1}}},
			play: func(w *world) string {
				w.submit("job", product(1000, 20))
				return w.ended("job", time.Hour, 1019)
			},
		},
		line{name: "poison: a role that is known from another job", calls: 50, lasts: 2 * time.Minute,
			under: setting{qps: 20, retry: 4 * time.Second, sim: simulator.Options{Latency: 50 * time.Millisecond, RoleCodes: map[int64]int{roleID(7): -1}}},
			play: func(w *world) string {
				w.submit("before", product(10, 20))
				w.ended("before", 10*time.Minute, 10)
				w.skipped, w.began = w.calls(), time.Now()
				w.submit("job", product(100, 20))
				return w.ended("job", 10*time.Minute, 100)
			},
		},
		line{name: "3 bad users in 3 batches, known from another job", calls: 10, lasts: time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: 100 * time.Millisecond, BadUsers: spread(3, 100)}},
			play: func(w *world) string {
				w.submit("before", product(100, 20))
				w.ended("before", time.Minute, 3*20)
				w.skipped, w.began = w.calls(), time.Now()
				return w.one(product(100, 60), 3*60)
			},
		},
		line{name: "300 users, 3 % bad", calls: 75, lasts: 12 * time.Second,
			under: setting{qps: 20, sim: simulator.Options{Latency: time.Second, BadUsers: spread(9, 300)}},
			play:  func(w *world) string { return w.one(product(300, 20), 9*20) },
		},
		line{name: "a planned job of 400 people", slow: true, calls: planned(company), lasts: time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond}},
			play:  func(w *world) string { return w.one(of(company), 0) },
		},
		line{name: "5 planned jobs of 80 people each, submitted together", slow: true, calls: jobs(5, 80).planned, lasts: time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond}},
			play: func(w *world) string {
				all := jobs(5, 80)
				for i, r := range all.removals {
					w.submit(fmt.Sprint("job", i), r)
				}
				for i := range all.removals {
					w.ended(fmt.Sprint("job", i), time.Minute, 0)
				}
				return ""
			},
		},
		line{name: "175 letters of 40 users of 400, all still bad", slow: true, calls: 120, lasts: 5 * time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond, BadUsers: spread(40, 400)}},
			play: func(w *world) string {
				w.one(of(company), -1)
				return w.replay(-1)
			},
		},
		line{name: "937 letters of 40 users of 400, all still bad", slow: true, calls: 120, lasts: 5 * time.Minute,
			under: setting{qps: 20, sim: simulator.Options{Latency: 50 * time.Millisecond, BadUsers: spread(40, 400)}},
			play: func(w *world) string {
				w.one(of(covertest.Random(1, 400, 80, .3)), -1)
				return w.replay(-1)
			},
		},
	)
}

func TestCosts(t *testing.T) {
	for _, l := range table() {
		if l.slow && !*every {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			inVirtualTime(t, l.under, func(w *world) {
				before := w.calls()
				said := l.play(w)
				calls, took := w.calls()-before-w.skipped, time.Since(w.began)
				t.Logf("%d calls (at most %d), %.1f s (at most %.0f s), the first call after %d ms %s", calls, l.calls, took.Seconds(), l.lasts.Seconds(), w.first.Milliseconds(), said)
				if calls > l.calls || took > l.lasts {
					t.Error("that is too much")
				}
			})
		})
	}
}

// one plays one job to its end.
func (w *world) one(r *enqueue.Removals, dead int64) string {
	w.Helper()
	w.submit("job", r)
	return w.ended("job", 30*time.Minute, dead)
}

// burst plays removals of one user each, each a job of its own, that arrive evenly, until all are over but those of
// some users.
func (w *world) burst(company cover.Matrix, arrival, within time.Duration, but ...string) string {
	w.Helper()
	var submitting sync.WaitGroup
	for u := range company.Roles {
		submitting.Go(func() {
			time.Sleep(arrival * time.Duration(u) / time.Duration(len(company.Roles)))
			w.submit(fmt.Sprint("job", u), of(company, u))
		})
	}
	submitting.Wait()
	for u := range company.Roles {
		if !slices.Contains(but, user(u)) {
			w.ended(fmt.Sprint("job", u), within, 0)
		}
	}
	return fmt.Sprintf("(a plan of all of them has %d)", planned(company))
}

// among waits for the end of a job, while a removal of somebody else passes every second; these calls do not count.
func (w *world) among(jobID string, within time.Duration, dead int64) string {
	w.Helper()
	over := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(over)
	others.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				r := &enqueue.Removals{}
				r.Add(fmt.Sprint("other", i), roleID(100+i))
				w.submit(fmt.Sprint("other", i), r)
				w.skipped++
			case <-over:
				return
			}
		}
	})
	return w.ended(jobID, within, dead)
}

// ended waits for the end of a job, which must have so many dead pairs.
func (w *world) ended(jobID string, within time.Duration, dead int64) string {
	w.Helper()
	job, _, done := w.finished(jobID, within)
	if !done || dead >= 0 && job.Pairs.Dead != dead || job.Pairs.Removed != job.Pairs.Total-job.Pairs.Dead {
		w.Errorf("after %v: %+v, want %d dead and all others removed", time.Since(w.began), job.Pairs, dead)
	}
	return ""
}

// replay makes all dead letters due and waits until each is one again, or gone; only what happens from here on counts.
func (w *world) replay(dead int64) string {
	w.Helper()
	w.skipped, w.began = w.calls(), time.Now()
	s, err := w.letters.Select(w.Context(), deadletter.Filter{})
	if err != nil {
		w.Fatal(err)
	}
	if _, err := w.letters.Replay(w.Context(), s, deadletter.Order{By: "test"}); err != nil {
		w.Fatal(err)
	}
	if err := w.letters.Wait(w.Context(), s, time.Second, func(int) error { return nil }); err != nil {
		w.Fatal(err)
	}
	w.ended("job", time.Hour, dead)
	return fmt.Sprintf("(%d letters)", s.Letters())
}
