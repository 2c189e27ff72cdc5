package faults

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

type pair = promises.Pair

// job is one removal of a history.
type job struct {
	id    string
	lane  string
	at    time.Duration // when it is submitted
	pairs map[pair]bool
	// named says that its people are asked for by their mobile numbers and its roles by their names; by the intake, a worker looks
	// them up, otherwise the command does.
	named, byIntake bool
}

// sorted are the pairs in an order that does not change.
func (j *job) sorted() []pair {
	return slices.SortedFunc(maps.Keys(j.pairs), func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Role, b.Role))
	})
}

// event is one fault, or one act of a person, of a history.
type event struct {
	at    time.Duration
	lasts time.Duration
	kind  string
	pick  uint64 // which worker, job or task it is about
}

func (e event) String() string {
	s := fmt.Sprintf("%5.1fs %s", e.at.Seconds(), e.kind)
	if e.lasts > 0 {
		s += fmt.Sprintf(" for %.1fs", e.lasts.Seconds())
	}
	return s
}

// plan is a whole history, made from its seed.
type plan struct {
	lasts     time.Duration // how long people go on, over the ten minutes that a world has to come to its end
	seed      uint64
	workers   int
	qps       int
	dingtalk  simulator.Options
	protected string // a user whom no worker may touch
	bad       map[string]tasks.Reason
	badRole   int64 // 0 for none
	jobs      []*job
	events    []event
	redis     []string // further arguments of redis-server
}

// active is the time in which jobs come and faults begin.
const active = 12 * time.Second

func planOf(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := plan{seed: seed, workers: 1 + rng.IntN(3), qps: 15 + rng.IntN(30), bad: map[string]tasks.Reason{}}
	var users []string
	for i := range 120 {
		users = append(users, fmt.Sprintf("employee%03d", i))
	}
	var roles []int64
	for i := range 40 {
		roles = append(roles, 1507113500+int64(i))
	}
	p.dingtalk = simulator.Options{Seed: seed, QPS: 2 * p.qps, TokenTTL: time.Hour,
		Blames: simulator.Blames(rng.IntN(3)), ApplyGood: simulator.ApplyGood(rng.IntN(3)), Shape: simulator.Shape(rng.IntN(4)),
		Latency: time.Duration(rng.IntN(60)) * time.Millisecond, Jitter: time.Duration(1+rng.IntN(80)) * time.Millisecond}
	if rng.IntN(3) == 0 { // tokens that end before their time
		p.dingtalk.TokenTTL, p.dingtalk.TokenAnnounced = 3*time.Second, time.Hour
	}
	if rng.IntN(2) == 0 {
		p.dingtalk.Busy, p.dingtalk.DropBefore, p.dingtalk.DropAfter = 0.1, 0.02, 0.04
		p.dingtalk.ProxyPages, p.dingtalk.Truncated = 0.03, 0.03
	}
	for range rng.IntN(5) {
		user := users[rng.IntN(len(users))]
		delete(p.bad, user)
		switch rng.IntN(3) {
		case 0:
			p.bad[user] = tasks.ReasonInvalidUser
		case 1:
			p.bad[user] = tasks.ReasonUserGone
		default:
			p.bad[user] = tasks.ReasonUserOutOfScope
		}
	}
	for user, why := range p.bad {
		switch why {
		case tasks.ReasonInvalidUser:
			p.dingtalk.BadUsers = append(p.dingtalk.BadUsers, user)
		case tasks.ReasonUserGone:
			p.dingtalk.GoneUsers = append(p.dingtalk.GoneUsers, user)
		default:
			p.dingtalk.OutOfScopeUsers = append(p.dingtalk.OutOfScopeUsers, user)
		}
	}
	if rng.IntN(3) == 0 {
		p.badRole = roles[rng.IntN(len(roles))]
		p.dingtalk.SystemRoles = []int64{p.badRole}
	}
	p.protected = users[rng.IntN(len(users))]
	for i := range 2 + rng.IntN(4) {
		p.jobs = append(p.jobs, jobOf(rng, i, users, roles))
	}
	p.jobs = append(p.jobs, namedJob(len(p.jobs), seed%2 == 1))
	p.events = eventsOf(rng, 5+rng.IntN(8), slices.Sorted(maps.Keys(kinds)))
	return p
}

// jobOf is a job of one of three forms: scattered pairs, which need many calls, departments, which overlap with those
// of other jobs, or one rectangle larger than a call.
func jobOf(rng *rand.Rand, i int, users []string, roles []int64) *job {
	j := &job{id: fmt.Sprintf("job-%d", i), lane: tasks.Lanes()[rng.IntN(3)], at: time.Duration(rng.Int64N(int64(active / 2))), pairs: map[pair]bool{}}
	if i == 0 {
		j.at = 0
	}
	form := rng.IntN(4)
	switch {
	case form <= 1 || i == 0: // scattered
		for range 150 + rng.IntN(150) {
			j.pairs[pair{User: users[rng.IntN(len(users))], Role: roles[rng.IntN(len(roles))]}] = true
		}
	case form == 2: // departments
		for range 60 {
			user, department := users[rng.IntN(len(users))], rng.IntN(8)
			for k := range 5 {
				j.pairs[pair{User: user, Role: roles[department*5+k]}] = true
			}
		}
	default:
		for _, user := range users[:101+rng.IntN(19)] {
			for _, role := range roles[:21+rng.IntN(19)] {
				j.pairs[pair{User: user, Role: role}] = true
			}
		}
	}
	return j
}

// desk are the roles of the people who are asked for by their numbers.
var desk = []struct {
	id   int64
	name string
}{{1507119000, "cashier"}, {1507119001, "clerk"}}

// namedJob asks for some people, whom no other job is about, by their numbers; none of them is refused.
func namedJob(i int, byIntake bool) *job {
	j := &job{id: fmt.Sprintf("job-%d", i), lane: tasks.QueueDefault, at: 1200 * time.Millisecond, pairs: map[pair]bool{}, named: true, byIntake: byIntake}
	for n := range 5 {
		for _, role := range desk {
			j.pairs[pair{User: fmt.Sprint("colleague", n), Role: role.id}] = true
		}
	}
	return j
}

func mobileOf(user string) string { return "1380000000" + strings.TrimPrefix(user, "colleague") }

// eventsOf draws events of the given kinds. Faults of one thing do not overlap: a server that is down cannot be frozen.
func eventsOf(rng *rand.Rand, n int, names []string) []event {
	busy := map[string]time.Duration{}
	var events []event
	for range n {
		name := names[rng.IntN(len(names))]
		k := kinds[name]
		e := event{at: time.Duration(rng.Int64N(int64(active))), kind: name, pick: rng.Uint64()}
		if k.most > 0 {
			e.lasts = k.least + time.Duration(rng.Int64N(int64(k.most-k.least)+1))
		}
		if k.of != "" {
			e.at = max(e.at, busy[k.of])
			busy[k.of] = e.at + e.lasts + 500*time.Millisecond
		}
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b event) int { return int(a.at - b.at) })
	return events
}
