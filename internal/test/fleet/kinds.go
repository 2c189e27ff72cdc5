package fleet

import (
	"time"

	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// kind is a kind of event.
type kind struct {
	of          string        // what it happens to; two of them do not overlap. Empty: they may
	least, most time.Duration // how long it lasts; zero for a moment
	begin       func(*world, event)
	end         func(*world, event) // nil where there is nothing to end
}

// weather is a time in which operations of a process meet with a fate, by chance.
type weather struct {
	share float64
	fate  fate
	// at, if not 0, is the number of the operation of the process that it hits, and no other: of is its name.
	at int
	of string
}

// recovery is how long what a killed worker had in its hands may rest: asynq's lease, and then its next look.
const recovery = 150 * time.Second

// kinds are all events that a history may have.
var kinds = map[string]kind{
	"worker killed": {least: 100 * time.Millisecond, most: 3 * time.Second, begin: func(w *world, e event) {
		w.disturbed(recovery)
		w.worker(e).kill(e.lasts)
	}},
	"worker killed at an operation": {least: 100 * time.Millisecond, most: 3 * time.Second, begin: func(w *world, e event) {
		w.disturbed(recovery)
		k, f := w.worker(e), fate{kind: dieBefore}
		if e.pick%2 == 0 {
			f.kind = dieAfter
		}
		k.leave(e.lasts)
		p := k.process()
		if e.pick%3 == 0 {
			w.at(moment{&e, func(o *operation) bool { return o.by == p && w.settled }, func() {
				w.saw("a worker ended right after a settlement", true)
				p.die()
			}})
			return
		}
		w.brew(weather{of: p.name, at: p.done() + int(e.pick/2%60), fate: f})
	}},
	"worker stopped": {least: 100 * time.Millisecond, most: 3 * time.Second, begin: func(w *world, e event) { w.worker(e).stop(e.lasts) }},
	"worker frozen": {of: "worker", least: 500 * time.Millisecond, most: 50 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + recovery)
		w.frozenLeader[w.worker(e).name] = w.leader
		p, until := w.worker(e).process(), time.Now().Add(e.lasts-lateAfter)
		if e.pick%2 == 0 || time.Now().After(until) {
			p.freeze()
			return
		}
		w.at(moment{&e, func(o *operation) bool { return o.by == p && w.claimed() && time.Now().Before(until) }, p.freeze})
	}, end: func(w *world, e event) {
		w.saw("a frozen leader woke up when another one led", w.frozenLeader[w.worker(e).name] != "" && w.frozenLeader[w.worker(e).name] != w.leader)
		w.worker(e).process().thaw()
	}},
	"worker cut off": {of: "worker", least: 300 * time.Millisecond, most: 50 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + recovery)
		w.worker(e).process().part(true)
	}, end: func(w *world, e event) { w.worker(e).process().part(false) }},

	"connections cut": {begin: func(w *world, _ event) {
		w.disturbed(10 * time.Second)
		for _, k := range w.workers {
			k.process().cut()
		}
		w.intake.cut()
	}},
	"replies lost": {of: "network", least: 300 * time.Millisecond, most: 4 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.brew(weather{share: 0.2, fate: fate{kind: cutAfter}})
	}, end: clearUp},
	"requests lost": {of: "network", least: 300 * time.Millisecond, most: 4 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.brew(weather{share: 0.2, fate: fate{kind: cutBefore}})
	}, end: clearUp},
	"replies late": {of: "network", least: 300 * time.Millisecond, most: 4 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.brew(weather{share: 0.2, fate: fate{kind: late, late: time.Duration(e.pick%8000) * time.Millisecond}})
	}, end: clearUp},
	"redis refuses": {of: "redis", least: 300 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.brew(weather{share: 1, fate: fate{kind: refused, says: refusals[e.pick%uint64(len(refusals))]}})
	}, end: clearUp},
	forgets: {of: "redis", least: 100 * time.Millisecond, most: time.Second, begin: func(w *world, e event) {
		w.jumped(e.lasts) // slots that were taken are free again, too
		w.disturbed(e.lasts + recovery)
		w.redis.remember()
	}, end: func(w *world, _ event) { w.forgot() }},
	losesLetter:     {of: "redis", begin: loseLetter},
	losesSubmission: {of: "redis", begin: loseSubmission},
	"redis clock jumps": {of: "clock", least: time.Second, most: 6 * time.Second, begin: func(w *world, e event) {
		w.jumped(e.lasts)
		w.redis.jump(time.Duration(int64(e.pick%60)-30) * time.Second)
	}, end: func(w *world, _ event) {
		w.jumped(0)
		w.redis.jump(0)
	}},
	"redis refuses now and then": {of: "redis", least: 300 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.brew(weather{share: 0.3, fate: fate{kind: refused, says: refusals[e.pick%uint64(len(refusals))]}})
	}, end: clearUp},

	"dingtalk busy":           dingTalk(simulator.FaultBusy),
	"dingtalk throttles":      dingTalk(simulator.FaultThrottled),
	"dingtalk behind a proxy": dingTalk(simulator.FaultOutage),
	"dingtalk unreachable":    dingTalk(simulator.FaultUnreachable),
	"permission missing":      dingTalk(simulator.FaultPermission),
	"address not allowed":     dingTalk(simulator.FaultIPNotAllowed),
	"address banned":          dingTalk(simulator.FaultIPBan),
	"app disabled":            dingTalk(simulator.FaultDisabled),
	"token refused":           dingTalk(simulator.FaultToken),
	"credentials refused":     dingTalk(simulator.FaultCredentials),
	"users refused":           refusing(simulator.FaultRefusesUsers, tasks.ReasonInvalidUser),
	"requests refused":        refusing(simulator.FaultBadRequest, tasks.ReasonBadRequest),
	"quota spent": {of: "dingtalk", least: 300 * time.Millisecond, most: 5 * time.Second,
		begin: func(w *world, e event) { w.sim.Fail(simulator.FaultQuota, e.lasts) },
		end:   func(w *world, _ event) { w.besides.Go(w.buyQuota) }},
	"token revoked": {begin: func(w *world, _ event) { w.sim.RevokeToken() }},

	"submission killed": {begin: func(w *world, e event) {
		j := w.plan.jobs[e.pick%uint64(len(w.plan.jobs))]
		f := fate{kind: dieBefore}
		if e.pick%2 == 0 {
			f.kind = dieAfter
		}
		w.brew(weather{of: "submits " + j.ID, at: 1 + int(e.pick/7%12), fate: f})
	}},
	"submitted twice":       {begin: func(w *world, e event) { w.whenSubmitted(e, w.submitAgain) }},
	"submitted otherwise":   {begin: func(w *world, e event) { w.whenSubmitted(e, w.submitOtherwise) }},
	"job cancelled":         {begin: cancelAtWorst},
	"somebody stays":        {begin: stayAtWorst},
	"job repaired":          {begin: func(w *world, e event) { w.whenSubmitted(e, w.repair) }},
	"job verified":          {begin: func(w *world, e event) { w.whenSubmitted(e, w.verify) }},
	"letters replayed":      {begin: func(w *world, e event) { w.actOnLetters(e, (*deadletter.Queue).Replay) }},
	"letters discarded":     {begin: func(w *world, e event) { w.actOnLetters(e, (*deadletter.Queue).Discard) }},
	"user mended and tried": {begin: mendUser},
	"task deleted":          {begin: deleteTask},
	"task archived":         {begin: archiveTask},
}

// forgets is the end of a Redis that has on disk what it was a moment before.
const forgets = "redis loses what it said"

// refusals are what Redis may answer instead of doing what it is asked for; the last ones as Redis before 7 gives them
// inside scripts. NOAUTH is not among them: after it, new connections wait a moment while their subscription holds a lock of
// go-redis, and a bubble's time stands still while somebody waits for a lock.
var refusals = []string{
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
	"OOM command not allowed when used memory > 'maxmemory'.",
	"READONLY You can't write against a read only replica.",
	"LOADING Redis is loading the dataset in memory",
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
	"NOPERM this user has no permissions to run the 'evalsha' command",
	"NOREPLICAS Not enough good replicas to write.",
	"CLUSTERDOWN The cluster is down",
	"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
	"ERR something that nobody has heard of",
	"ERR Error running script (call to f_0123456789abcdef): @user_script:1: -OOM command not allowed when used memory > 'maxmemory'.",
	"ERR Error running script (call to f_0123456789abcdef): @user_script:1: -READONLY You can't write against a read only replica.",
	"ERR Error running script (call to f_0123456789abcdef): @user_script:1: -MISCONF Errors writing to the AOF file: No space left on device",
}

func dingTalk(fault simulator.FaultKind) kind {
	return kind{of: "dingtalk", least: 300 * time.Millisecond, most: 5 * time.Second,
		begin: func(w *world, e event) { w.sim.Fail(fault, e.lasts) }}
}

// refusing is a fault in which DingTalk blames ids that are right, each for the same reason.
func refusing(fault simulator.FaultKind, why tasks.Reason) kind {
	k := dingTalk(fault)
	begin := k.begin
	k.begin = func(w *world, e event) {
		w.mu.Lock()
		w.blamed[why] = true
		w.mu.Unlock()
		w.estrange(fault == simulator.FaultRefusesUsers)
		begin(w, e)
	}
	k.end = func(w *world, _ event) { w.estrange(false) }
	return k
}

func (w *world) worker(e event) *keeper { return w.workers[e.pick%uint64(len(w.workers))] }

// brew lets a fate begin; clearUp ends all of those that have a share.
func (w *world) brew(x weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = append(w.weather, x)
}

func clearUp(w *world, _ event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var stays []weather
	for _, x := range w.weather {
		if x.share == 0 {
			stays = append(stays, x)
		}
	}
	w.weather = stays
}

// fateOf decides about an operation. It is called by the gate alone.
func (w *world) fateOf(o *operation) fate {
	if o.by.isDead() {
		// Sent or not when the process ended: either may be.
		if w.gate.rng.IntN(2) == 0 {
			return fate{kind: dieBefore}
		}
		return fate{}
	}
	n := o.by.count()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, x := range w.weather {
		switch {
		case x.at > 0:
			if x.of == o.by.name && x.at == n {
				w.weather[i].at = -1 // once: the next process of that name lives
				w.sawUnder("a process ended before an operation", x.fate.kind == dieBefore)
				w.sawUnder("a process ended after an operation", x.fate.kind == dieAfter)
				return x.fate
			}
		case x.at < 0:
		case w.gate.rng.Float64() < x.share:
			return x.fate
		}
	}
	return fate{}
}
