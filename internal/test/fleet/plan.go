package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// plan is a whole history, made from its seed: what is asked for, and what goes wrong.
type plan struct {
	seed    uint64
	workers int
	qps     int
	// pace is how long an operation takes on its way.
	pace      time.Duration
	dingtalk  simulator.Options
	protected string
	bad       map[string]tasks.Reason
	badRole   int64 // 0 for none
	jobs      []*job
	// words are those of the jobs that are submitted one after the other; see talk. before are the pairs that they are about, and
	// whether they were held at the beginning.
	words  []*job
	before map[promises.Pair]bool
	events []event
	// people are those who are asked for by names, desks what they hold, changes what becomes of them meanwhile; see names.
	people       []simulator.Person
	desks        map[promises.Pair]bool
	changes      []event
	directoryTTL time.Duration
	mute         bool          // Redis does not tell workers of new tasks
	active       time.Duration // in which jobs come and faults begin
	crash        *point        // nil for none
	// tune changes the configuration of workers and intake; nil for none.
	tune func(*config.Config)
}

// job is one removal of a history.
type job struct {
	promises.Job
	lane string
	at   time.Duration // when it is submitted
	// starts is when it is due, from its submission; 0 for at once.
	starts time.Duration
	// by is the way it is submitted.
	by way
	// waits is set for a job that somebody has to approve.
	waits bool
	// restores is the job whose removals a restore gives back, as they are when it is submitted, nil for pairs of its own;
	// evenLater as the command has it. Its pairs are known when it is submitted; nothing says that there were none.
	restores           *job
	evenLater, nothing bool
	// wishes are what it asks for by names, tries what a command saw that looked them up itself.
	wishes []wish
	tries  []try
}

// way is how a removal reaches Redis.
type way uint8

const (
	byCommand way = iota // enqueue.Client, as unrole enqueue has it
	byIntake             // POST /v1/removals
	byQueue              // a task that somebody put straight into the queue
)

// sorted are the pairs in an order that does not change.
func (j *job) sorted() []promises.Pair {
	return slices.SortedFunc(maps.Keys(j.Pairs), func(a, b promises.Pair) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Role, b.Role))
	})
}

// event is one fault, or one act of a person.
type event struct {
	at    time.Duration
	lasts time.Duration
	kind  string
	pick  uint64 // what it is about
}

func (e event) String() string {
	s := fmt.Sprintf("%s (%d)", e.kind, e.pick%1000)
	if e.lasts > 0 {
		s += fmt.Sprintf(" for %v", e.lasts.Round(time.Millisecond))
	}
	return s
}

// active is the time in which jobs come and faults begin, in most histories.
const active = 8 * time.Second

// planOf draws a history.
func planOf(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := plan{seed: seed, active: active, workers: 1 + rng.IntN(3), qps: 10 + rng.IntN(40), bad: map[string]tasks.Reason{},
		pace: time.Duration(1+rng.IntN(20)) * 100 * time.Microsecond}
	var users []string
	for i := range 40 {
		users = append(users, fmt.Sprintf("employee%03d", i))
	}
	var roles []int64
	for i := range 16 {
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
	for range rng.IntN(4) {
		user := users[rng.IntN(len(users))]
		if _, twice := p.bad[user]; twice {
			continue
		}
		switch rng.IntN(3) {
		case 0:
			p.bad[user] = tasks.ReasonInvalidUser
			p.dingtalk.BadUsers = append(p.dingtalk.BadUsers, user)
		case 1:
			p.bad[user] = tasks.ReasonUserGone
			p.dingtalk.GoneUsers = append(p.dingtalk.GoneUsers, user)
		default:
			p.bad[user] = tasks.ReasonUserOutOfScope
			p.dingtalk.OutOfScopeUsers = append(p.dingtalk.OutOfScopeUsers, user)
		}
	}
	if rng.IntN(3) == 0 {
		p.badRole = roles[rng.IntN(len(roles))]
		p.dingtalk.SystemRoles = []int64{p.badRole}
	}
	p.protected = users[rng.IntN(len(users))]
	for i := range 1 + rng.IntN(4) {
		p.jobs = append(p.jobs, jobOf(rng, i, users, roles))
	}
	p.mute = rand.New(rand.NewPCG(seed, 7)).IntN(4) == 0
	p.events = eventsOf(rng, rng.IntN(7), active, slices.Sorted(maps.Keys(kinds)))
	p.changeMinds()
	if !slices.ContainsFunc(p.events, func(e event) bool { return slices.Contains([]string{forgets, losesLetter, losesSubmission}, e.kind) }) { // a word that is said again is the last one
		switch of := rand.New(rand.NewPCG(seed, 6)); of.IntN(4) {
		case 0:
			p.names(of)
		case 1, 2:
			p.talk()
		}
	}
	return p
}

// changeMinds has people change their minds in histories in which little goes wrong besides: whatever keeps a process from knowing of
// a cancel in time excuses a call after it. Half of them have three departments at once that need the same roles and no call alone:
// while the first is called the others wait together.
func (p *plan) changeMinds() {
	rng := rand.New(rand.NewPCG(p.seed, 8))
	if len(p.events) > 1 && rng.IntN(4) > 0 {
		return
	}
	if rng.IntN(2) == 0 {
		wide, lane := 2+rng.IntN(7), tasks.Lanes()[rng.IntN(3)]
		for i := range 3 {
			p.jobs = append(p.jobs, department(rng, i, wide, lane))
		}
	}
	names := []string{"job cancelled", "job cancelled", "job cancelled", "somebody stays", "somebody stays", losesLetter, losesSubmission}
	p.events = append(p.events, eventsOf(rng, 1+rng.IntN(2), active, names)...)
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
}

// department is a job of many people who lose the same roles.
func department(rng *rand.Rand, i, wide int, lane string) *job {
	j := &job{lane: lane, at: time.Second}
	j.ID, j.Pairs, j.Discarded = fmt.Sprint("department-", i), map[promises.Pair]bool{}, map[promises.Pair]bool{}
	for u := range 40 + rng.IntN(50) {
		for r := range wide {
			j.Pairs[promises.Pair{User: fmt.Sprintf("employee%03d", 100*i+u), Role: 1507113500 + int64(r)}] = true
		}
	}
	return j
}

// jobOf is a job of one of four forms: scattered pairs, which need several calls, departments, which overlap with those of
// other jobs, single people, or one rectangle larger than a call.
func jobOf(rng *rand.Rand, i int, users []string, roles []int64) *job {
	j := &job{lane: tasks.Lanes()[rng.IntN(3)], at: time.Duration(rng.Int64N(int64(active / 2)))}
	j.ID, j.Pairs, j.Discarded = fmt.Sprintf("job-%d", i), map[promises.Pair]bool{}, map[promises.Pair]bool{}
	if i == 0 {
		j.at = 0
	}
	switch rng.IntN(6) {
	case 0:
		j.by = byQueue
	case 1, 2:
		j.by = byIntake
	}
	add := func(user string, role int64) { j.Pairs[promises.Pair{User: user, Role: role}] = true }
	switch form := rng.IntN(8); {
	case j.by == byQueue || form == 7:
		// A rectangle, since a task is one; larger than a call, now and then, in each direction.
		wide, high := []int{2, 5, 21 + rng.IntN(6)}[rng.IntN(3)], []int{3, 30, 101 + rng.IntN(40)}[rng.IntN(3)]
		for u := range high {
			for r := range wide {
				add(fmt.Sprintf("employee%03d", u), 1507113500+int64(r))
			}
		}
	case form <= 2: // scattered
		for range 5 + rng.IntN(40) {
			add(users[rng.IntN(len(users))], roles[rng.IntN(len(roles))])
		}
	case form <= 4: // departments
		for range 10 {
			user, department := users[rng.IntN(len(users))], rng.IntN(4)
			for k := range 3 {
				add(user, roles[department*4+k])
			}
		}
	default: // one person
		user := users[rng.IntN(len(users))]
		for range 1 + rng.IntN(4) {
			add(user, roles[rng.IntN(len(roles))])
		}
	}
	if j.by != byQueue && rng.IntN(6) == 0 {
		j.starts = time.Duration(1+rng.IntN(6)) * time.Second
	}
	j.waits = j.by == byCommand && rng.IntN(8) == 0
	return j
}

// eventsOf draws n events of the named kinds, which begin within the given time. Faults of one thing do not overlap: a process
// that is gone cannot be frozen.
func eventsOf(rng *rand.Rand, n int, within time.Duration, names []string) []event {
	busy := map[string]time.Duration{}
	var events []event
	for range n {
		name := names[rng.IntN(len(names))]
		k := kinds[name]
		e := event{at: time.Duration(rng.Int64N(int64(within))), kind: name, pick: rng.Uint64()}
		if k.most > 0 {
			e.lasts = k.least + time.Duration(rng.Int64N(int64(k.most-k.least)+1))
		}
		if k.of != "" {
			e.at = max(e.at, busy[k.of])
			busy[k.of] = e.at + e.lasts + 500*time.Millisecond
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return events
}
