package pace

import (
	"cmp"
	"container/heap"
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// model is a fleet and a DingTalk in virtual time, run by the production script: several processes reserve, call and
// report, and Redis's clock is set to the moment of each step.
type model struct {
	qps       float64
	processes int
	batches   int           // how many have to be accepted
	latency   time.Duration // of one call, half of it on the way there
	jitter    time.Duration // added to the latency, uniform
	offset    time.Duration // of the start within a calendar second
	limit     time.Duration // ends the run
	seed      uint64
	// answer is DingTalk: how a call that arrives at this moment after the start ends.
	answer func(at time.Duration, rng *rand.Rand) Answer
}

type run struct {
	took    time.Duration
	calls   int
	kinds   map[AnswerKind]int
	arrived []time.Duration // moments of the calls at DingTalk
	granted []time.Duration
}

func (r run) share(k AnswerKind) float64 { return float64(r.kinds[k]) / float64(r.calls) }

func (m model) run(t testing.TB) run {
	server, rdb := newFastRedis(t)
	epoch := time.Unix(1_800_000_000, 0).Add(m.offset)
	server.now = epoch
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(m.seed, 7))
	m.latency = cmp.Or(m.latency, 50*time.Millisecond)
	m.limit = cmp.Or(m.limit, time.Hour)
	r := run{kinds: map[AnswerKind]int{}}
	left, out := m.batches, 0 // waiting, under way

	var steps schedule
	at := func(d time.Duration, do func(now time.Duration)) {
		steps.n++
		heap.Push(&steps, step{d, steps.n, do})
	}
	var idle, waiting []func(now time.Duration)
	gen := ""
	announce := func(now time.Duration, p *Pacer) {
		if g := server.hash[p.keys[0]]["gen"]; g != gen {
			gen = g
			for _, f := range waiting {
				at(now, f)
			}
			waiting = nil
		}
	}
	for range m.processes {
		p, err := New(rdb, Config{App: "model", QPS: m.qps})
		if err != nil {
			t.Fatal(err)
		}
		var ask func(now time.Duration)
		ask = func(now time.Duration) {
			if left == 0 {
				idle = append(idle, ask)
				return
			}
			reply, err := p.send(ctx, "reserve")
			if err != nil {
				t.Fatal(err)
			}
			stood := reply.word != "granted" && reply.word != "probe"
			asked := false
			if stood {
				waiting = append(waiting, func(now time.Duration) {
					if !asked {
						asked = true
						ask(now)
					}
				})
			}
			at(now+reply.wait, func(now time.Duration) {
				if asked {
					return
				}
				asked = true
				if reply.word != "granted" && reply.word != "probe" || left == 0 || !p.confirm(ctx, reply.gen) {
					ask(now)
					return
				}
				left--
				out++
				r.calls++
				r.granted = append(r.granted, now)
				there := now + m.latency/2
				if m.jitter > 0 {
					there += time.Duration(rng.Int64N(int64(m.jitter)))
				}
				at(there, func(now time.Duration) {
					r.arrived = append(r.arrived, now)
					o := m.answer(now, rng)
					at(now+m.latency/2, func(now time.Duration) {
						out--
						r.kinds[o.Kind]++
						if o.Kind != Accepted {
							left++
							for _, f := range idle {
								at(now, f)
							}
							idle = nil
						}
						p.Report(ctx, Grant{seq: reply.seq, Probe: reply.word == "probe"}, o)
						announce(now, p)
					})
				})
				at(now+time.Millisecond/5, ask)
			})
		}
		at(0, ask)
	}
	for len(steps.steps) > 0 && (left > 0 || out > 0) {
		next := heap.Pop(&steps).(step)
		if next.at > m.limit {
			break
		}
		r.took = next.at
		server.now = epoch.Add(next.at)
		next.do(next.at)
	}
	return r
}

type step struct {
	at time.Duration
	n  int
	do func(now time.Duration)
}

type schedule struct {
	steps []step
	n     int
}

func (s *schedule) Len() int { return len(s.steps) }
func (s *schedule) Less(i, j int) bool {
	a, b := s.steps[i], s.steps[j]
	return a.at < b.at || a.at == b.at && a.n < b.n
}
func (s *schedule) Swap(i, j int) { s.steps[i], s.steps[j] = s.steps[j], s.steps[i] }
func (s *schedule) Push(x any)    { s.steps = append(s.steps, x.(step)) }
func (s *schedule) Pop() any {
	last := s.steps[len(s.steps)-1]
	s.steps = s.steps[:len(s.steps)-1]
	return last
}

// perSecond answers busy beyond capacity(at) calls in a calendar second, offset as the model's; a share of the calls
// is answered busy by chance before that.
func perSecond(capacity func(time.Duration) int, chance float64, offset time.Duration) func(time.Duration, *rand.Rand) Answer {
	second, used := time.Duration(-1), 0
	return func(at time.Duration, rng *rand.Rand) Answer {
		if rng.Float64() < chance {
			return Answer{Kind: Busy}
		}
		if now := (at + offset).Truncate(time.Second); now != second {
			second, used = now, 0
		}
		if used++; used > capacity(at) {
			return Answer{Kind: Busy}
		}
		return Answer{Kind: Accepted}
	}
}

// bucket answers busy when a bucket of burst calls, refilled evenly, is empty.
func bucket(capacity func(time.Duration) int, burst, chance float64) func(time.Duration, *rand.Rand) Answer {
	level, last := burst, time.Duration(0)
	return func(at time.Duration, rng *rand.Rand) Answer {
		if rng.Float64() < chance {
			return Answer{Kind: Busy}
		}
		level = min(burst, level+(at-last).Seconds()*float64(capacity(at)))
		last = at
		if level < 1 {
			return Answer{Kind: Busy}
		}
		level--
		return Answer{Kind: Accepted}
	}
}

func always(n int) func(time.Duration) int { return func(time.Duration) int { return n } }

func jumping(at time.Duration) int {
	if int(at/(20*time.Second))%2 == 0 {
		return 7
	}
	return 15
}

// offered is how many calls the capacity would have let through in the time.
func offered(capacity func(time.Duration) int, took time.Duration) float64 {
	sum := 0.0
	const dt = 10 * time.Millisecond
	for at := time.Duration(0); at < took; at += dt {
		sum += float64(capacity(at)) * dt.Seconds()
	}
	return sum
}
