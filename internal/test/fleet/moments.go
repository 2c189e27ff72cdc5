package fleet

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// moment is when something happens: right after the first operation for which it holds, if that comes before the faults end. Of those
// of one event, one comes.
type moment struct {
	of    *event
	holds func(*operation) bool
	act   func()
}

// at has something happen at a moment. act runs while everything stands still.
func (w *world) at(m moment) {
	w.acting.Lock()
	defer w.acting.Unlock()
	if !w.healed {
		w.moments = append(w.moments, m)
	}
}

// lookAtMoments looks whether one has come with an operation.
func (w *world) lookAtMoments(o *operation) {
	w.acting.Lock()
	defer w.acting.Unlock()
	for i := 0; i < len(w.moments); i++ {
		if m := w.moments[i]; m.holds(o) {
			m.act()
			w.moments = slices.DeleteFunc(w.moments, func(other moment) bool { return other.of == m.of })
			i = -1
		}
	}
}

// noMoreMoments ends the time in which they come.
func (w *world) noMoreMoments() {
	w.acting.Lock()
	defer w.acting.Unlock()
	w.healed, w.moments = true, nil
}

// worstMoments are those of a job at which somebody changes their mind: while DingTalk is asked which of its ids it refuses, while
// a call is under way, between the look that announces one and the call, while a worker does something with its record, and
// when a dead letter of it was enqueued, or when somebody has a role back and not its management scope.
var worstMoments = map[string]func(*world, *job, *operation) bool{
	"in a search":            func(w *world, j *job, _ *operation) bool { return w.searching(j) },
	"during a call":          func(_ *world, j *job, o *operation) bool { return calls(o, j) },
	"between claim and call": func(w *world, j *job, _ *operation) bool { return w.marked(j) && w.underWay() == 0 },
	"at an operation":        func(_ *world, j *job, o *operation) bool { return byWorker(o) && concerns(o.what, j.ID) },
	"at a letter":            func(_ *world, j *job, o *operation) bool { return putsLetter(o, j) },
	"before a scope":         func(w *world, j *job, _ *operation) bool { return w.given(j) },
}

// atWorst runs do, in the background, at one of the worst moments of a job, of whichever it comes for first, or once the one is
// submitted that an event is about.
func (w *world) atWorst(e event, do func(j *job, when string)) {
	names := []string{"", "in a search", "in a search", "during a call", "between claim and call", "at an operation", "at a letter"}
	if slices.ContainsFunc(w.plan.words, func(j *job) bool { return len(j.Scopes) > 0 }) {
		names = append(names, "before a scope", "before a scope")
	}
	when := names[rand.New(rand.NewPCG(e.pick, 8)).IntN(len(names))]
	if when == "" {
		w.whenSubmitted(e, func(j *job) { do(j, when) })
		return
	}
	for i := range w.plan.jobs {
		w.at(moment{&e, func(o *operation) bool { return worstMoments[when](w, w.plan.jobs[i], o) }, func() {
			w.onceSubmitted(w.plan.jobs[i], func(j *job) { do(j, when) })
		}})
	}
}

func byWorker(o *operation) bool { return strings.HasPrefix(o.by.name, "worker-") }

func putsLetter(o *operation, j *job) bool {
	return byWorker(o) && strings.Contains(o.what, "asynq:{"+tasks.QueueDeadLetter+"}:t:"+j.ID+":")
}

// searching reports whether DingTalk has refused a call for the job within the last second.
func (w *world) searching(j *job) bool {
	w.mu.Lock()
	c, at := w.refusal, w.lastRefusal
	w.mu.Unlock()
	if at.IsZero() || time.Since(at) > time.Second {
		return false
	}
	return slices.ContainsFunc(c.Users, func(user string) bool {
		return slices.ContainsFunc(c.Roles, func(role int64) bool { return j.Pairs[promises.Pair{User: user, Role: role}] })
	})
}

// calls reports whether an operation sends a call that covers a pair of the job.
func calls(o *operation, j *job) bool {
	for user := range strings.SplitSeq(o.form.Get("userIds"), ",") {
		for id := range strings.SplitSeq(o.form.Get("roleIds"), ",") {
			if role, err := strconv.ParseInt(id, 10, 64); err == nil && j.Pairs[promises.Pair{User: user, Role: role}] {
				return true
			}
		}
	}
	return false
}

// marked reports whether a part of the job is marked as being called.
func (w *world) marked(j *job) bool {
	begun, _ := w.redis.memory.HKeys("unrole:job:{" + j.ID + "}:begun")
	return len(begun) > 0
}

// given reports whether the record says of a pair of the job that its role was given back and its management scope was not yet.
func (w *world) given(j *job) bool {
	key := "unrole:job:{" + j.ID + "}:state"
	parts, _ := w.redis.memory.HKeys(key)
	return len(j.Scopes) > 0 && slices.ContainsFunc(parts, func(part string) bool {
		return strings.Contains(w.redis.memory.HGet(key, part), `"given":true`)
	})
}

// claimed reports whether a part is marked as being called and no call is under way.
func (w *world) claimed() bool {
	return slices.ContainsFunc(w.plan.jobs, w.marked) && w.underWay() == 0
}

// cancelAtWorst cancels a job. One that has letters has them all tried after that, as "Run" in asynq's web UI does.
func cancelAtWorst(w *world, e event) {
	w.atWorst(e, func(j *job, when string) {
		w.saw("a job was cancelled "+when, when != "")
		w.cancelJob(j)
		if when == "at a letter" {
			w.tryLetters()
		}
	})
}

// stayAtWorst has somebody of a job keep what was not taken yet.
func stayAtWorst(w *world, e event) {
	w.atWorst(e, func(j *job, when string) {
		all := j.sorted()
		if len(all) == 0 {
			return
		}
		w.saw("somebody was to stay "+when, when != "")
		w.keep(all[e.pick/3%uint64(len(all))].User)
	})
}

// keep has somebody keep what no job has begun to take from them.
func (w *world) keep(user string) {
	w.mu.Lock()
	w.kept[user] = true
	for _, j := range w.plan.jobs {
		if j.Asked == nil {
			j.Asked = map[string]bool{}
		}
		j.Asked[user] = true
	}
	w.mu.Unlock()
	w.again("keeps "+user, func() error {
		p, end := w.somebody("keeper")
		defer end()
		stays, err := ledger.New(p.rdb, 0).CancelUsers(p.alive, []string{user}, "operator", "history")
		if err != nil {
			return err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, j := range w.plan.jobs {
			if !slices.ContainsFunc(stays, func(s ledger.Stays) bool { return s.JobID == j.ID }) {
				continue
			}
			if j.Kept == nil {
				j.Kept = map[string]time.Time{}
			}
			if j.Kept[user].IsZero() {
				j.Kept[user] = time.Now()
			}
		}
		return nil
	})
}

// losesLetter is a Redis that is started again right after a dead letter was enqueued, from what it was before; losesSubmission one that was
// right after a worker looked at a job for the first time, from what it was before the job came.
const (
	losesLetter     = "redis loses a letter"
	losesSubmission = "redis loses a submission"
)

// lose has Redis remember what it is while may says so, anew each second, and forget the rest at the moment.
func (w *world) lose(e event, may func() bool, at func(*operation) bool) {
	var remembered time.Time
	w.at(moment{&e, func(o *operation) bool {
		if !remembered.IsZero() && time.Since(remembered) <= time.Second && at(o) {
			return true
		}
		if time.Since(remembered) > 500*time.Millisecond && may() {
			remembered = time.Now()
			w.jumped(time.Second) // slots that were taken are free again, too
			w.disturbed(time.Second + recovery)
			w.redis.remember()
		}
		return false
	}, w.forgot})
}

func loseLetter(w *world, e event) {
	lost := func(o *operation) bool {
		return slices.ContainsFunc(w.plan.jobs, func(j *job) bool { return putsLetter(o, j) })
	}
	w.lose(e, func() bool { return slices.ContainsFunc(w.plan.jobs, w.marked) }, func(o *operation) bool {
		is := lost(o)
		w.saw("Redis lost a dead letter that was just enqueued", is)
		return is
	})
}

func loseSubmission(w *world, e event) {
	j := w.plan.jobs[e.pick%uint64(len(w.plan.jobs))]
	key := "unrole:job:{" + j.ID + "}"
	w.lose(e, func() bool { return !w.redis.memory.Exists(key) }, func(o *operation) bool {
		return byWorker(o) && concerns(o.what, j.ID) && w.redis.memory.Exists(key)
	})
}
