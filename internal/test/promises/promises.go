// Package promises checks from outside whether a history of faults kept what unrole promises: by what DingTalk was called
// for, what the record says, and which dead letters wait.
package promises

import (
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// Pair is one user and one role.
type Pair struct {
	User string
	Role int64
}

// Job is what was asked for and what became of it.
type Job struct {
	ID    string
	Pairs map[Pair]bool
	// Action is what it does with them. Scopes are the management scopes that a restore gives back.
	Action tasks.Action
	Scopes map[Pair][]int64
	// Cancelled is when somebody's cancel was done; zero if nobody did. Discarded are pairs whose dead letter somebody
	// threw away.
	Cancelled time.Time
	Discarded map[Pair]bool
	// Record is that of the job at the end. Counts are those of the record; Ends what its report says of each pair.
	Record ledger.Job
	Counts ledger.Pairs
	Ends   map[Pair]End
}

// End is what a report says of a pair.
type End struct {
	Outcome string
	Reason  tasks.Reason
	Says    string // code and words, for a message
}

// History is what is known of one at its end.
type History struct {
	Jobs []*Job
	Sim  *simulator.Simulator
	// Calls are the removals, Gifts the calls that gave roles.
	Calls, Gifts []simulator.Call
	// Before are the pairs that were held at the beginning, of those that restores are about. Late are those in calls that a
	// frozen process had begun and sent when it woke up.
	Before, Late map[Pair]bool
	// Letters are the pairs that dead letters wait for, by job.
	Letters map[string]map[Pair]bool

	// Protected is a user whom nobody may touch; Bad users are refused for their reason, BadRole as a system role (0 for
	// none). Mended users were put right at DingTalk in between. Poisoned ids are those whose calls are answered busy or
	// by an unknown code, for ever.
	Protected string
	Bad       map[string]tasks.Reason
	BadRole   int64
	Mended    map[string]bool
	// Archived says that a person archived tasks, whose pairs may be dead as crashed.
	Archived bool

	// QPS is the ceiling; Extra how many more calls may arrive in a second because their way took differently long.
	QPS, Extra int
	// Latency is the longest that an answer takes.
	Latency time.Duration
	// Disturbed reports whether a process was kept in that time from knowing or doing anything; Unclear whether calls
	// that arrived in that time cannot be held against the pace.
	Disturbed, Unclear func(from, to time.Time) bool
}

// Fail is told of each broken promise, in words that begin with it.
type Fail func(format string, args ...any)

// Check checks every promise.
func (h *History) Check(fail Fail) {
	for _, action := range []tasks.Action{tasks.Remove, tasks.Add} {
		h.onlyWhatWasAsked(action, fail)
		h.nothingCalledOnceCancelled(action, fail)
	}
	h.theLastWordHolds(fail)
	for _, j := range h.Jobs {
		h.countsAddUp(j, fail)
		for p := range j.Pairs {
			h.rightEnd(j, p, fail)
		}
		for p := range j.Ends {
			if !j.Pairs[p] {
				fail("only what was asked: %s reports %v, which was never asked for", j.ID, p)
			}
		}
	}
	if n := h.Sim.Stats().Violations; n != 0 {
		fail("limits: %d calls broke DingTalk's", n)
	}
	h.paceHeld(h.Calls, fail)
	h.paceHeld(h.Gifts, fail)
	h.nobodyCallsWhilePaused(fail)
}

// eachPair visits the pairs of a call.
func eachPair(c simulator.Call, visit func(Pair)) {
	for _, user := range c.Users {
		for _, role := range c.Roles {
			visit(Pair{user, role})
		}
	}
}

// of are the jobs of an action, and its calls.
func (h *History) of(action tasks.Action) (jobs []*Job, calls []simulator.Call) {
	for _, j := range h.Jobs {
		if j.Action == action {
			jobs = append(jobs, j)
		}
	}
	if action == tasks.Add {
		return jobs, h.Gifts
	}
	return jobs, h.Calls
}

func (h *History) onlyWhatWasAsked(action tasks.Action, fail Fail) {
	jobs, calls := h.of(action)
	asked := map[Pair]bool{}
	for _, j := range jobs {
		for p := range j.Pairs {
			asked[p] = true
		}
	}
	for _, c := range calls {
		eachPair(c, func(p Pair) {
			if !asked[p] || p.User == h.Protected {
				fail("only what was asked: call %d covers %v, which nobody may have called", c.Number, p)
			}
		})
	}
}

// inFlight is how long after a cancel a call may still arrive that was on its way.
const inFlight = time.Second

// nothingCalledOnceCancelled: a pair that every job that asked for it counts as cancelled is in no call after the last
// of the cancels, but for calls that were on their way.
func (h *History) nothingCalledOnceCancelled(action tasks.Action, fail Fail) {
	jobs, calls := h.of(action)
	since := map[Pair]time.Time{}
	never := time.Now().Add(time.Hour)
	for _, j := range jobs {
		for p := range j.Pairs {
			at := j.Cancelled
			if j.Ends[p].Outcome != "cancelled" || at.IsZero() {
				at = never
			}
			if at.After(since[p]) {
				since[p] = at
			}
		}
	}
	for _, c := range calls {
		eachPair(c, func(p Pair) {
			if late := c.Arrived.Sub(since[p]); late > inFlight && !h.Disturbed(since[p], c.Arrived) {
				fail("only what was asked: call %d covers %v, cancelled %v before", c.Number, p, late)
			}
		})
	}
	// A call that took effect and whose answer arrived is not reported as cancelled by every job that it can have served.
	answered := map[Pair]uint64{}
	for _, c := range calls {
		if c.Code == "0" && !c.Lost && !h.Disturbed(c.Arrived.Add(-2*time.Second), c.Arrived.Add(2*time.Second)) {
			eachPair(c, func(p Pair) { answered[p] = c.Number })
		}
	}
	for p, number := range answered {
		owned := false
		for _, j := range jobs {
			if end, asked := j.Ends[p]; asked && end.Outcome != "cancelled" {
				owned = true
			}
		}
		if !owned {
			fail("nothing lost: call %d removed %v, and every job calls it cancelled", number, p)
		}
	}
}

func (h *History) countsAddUp(j *Job, fail Fail) {
	count := map[string]int64{}
	for _, end := range j.Ends {
		count[end.Outcome]++
	}
	c := j.Counts
	if c.Total != int64(len(j.Pairs)) || c.Removed != count["removed"] || c.Restored != count["restored"] || c.Dead != count["dead_letter"] || c.Cancelled != count["cancelled"] || c.Pending != 0 {
		fail("counted once: %s of %d pairs says %+v, its report %v", j.ID, len(j.Pairs), c, count)
	}
}

// rightEnd checks what became of one pair.
func (h *History) rightEnd(j *Job, p Pair, fail Fail) {
	end := j.Ends[p]
	broken := func(promise string) {
		fail("%s: %s: %v is %q (%s %s)", promise, j.ID, p, end.Outcome, end.Reason, end.Says)
	}
	why, badUser := h.Bad[p.User]
	switch end.Outcome {
	case "removed", "restored":
		if (end.Outcome == "restored") != (j.Action == tasks.Add) {
			broken("counted once")
		}
		if _, given := h.Before[p]; !given && h.Sim.Holds(p.User, p.Role) || !h.accepted(j.Action, p) {
			broken("nothing lost: DingTalk has never done it")
		}
		if badUser && !h.Mended[p.User] || p.Role == h.BadRole || p.User == h.Protected {
			broken("a bad id cannot be removed")
		}
	case "cancelled":
		if j.Cancelled.IsZero() {
			broken("nobody cancelled it")
		}
	case "dead_letter":
		if !h.Letters[j.ID][p] && !j.Discarded[p] {
			broken("nothing lost: no dead letter waits for it")
		}
		switch {
		case p.User == h.Protected && end.Reason == tasks.ReasonProtected:
		case badUser && end.Reason == why:
		case h.reasonOfMended(end.Reason):
			// The blame of a user who was put right in the middle of a search; see docs/reliability.md, what is not promised.
		case p.Role == h.BadRole && end.Reason == tasks.ReasonSystemRole:
		case end.Reason == tasks.ReasonCrashed && h.Archived:
		default:
			broken("the innocent unharmed")
		}
	default:
		broken("nothing lost")
	}
}

// reasonOfMended reports whether a user was refused for that reason before somebody mended them.
func (h *History) reasonOfMended(reason tasks.Reason) bool {
	for user := range h.Mended {
		if h.Bad[user] == reason {
			return true
		}
	}
	return false
}

// paceHeld counts the calls in every second that begins with one.
func (h *History) paceHeld(calls []simulator.Call, fail Fail) {
	if worst, at := h.Densest(calls); worst > h.QPS+h.Extra {
		fail("pace: %d calls arrived within the second from %s, %d are allowed", worst, at.Format("15:04:05.000"), h.QPS)
	}
}

// Densest is the most calls of a second that counts, and when it began.
func (h *History) Densest(calls []simulator.Call) (worst int, at time.Time) {
	first := 0
	for i, c := range calls {
		for c.Arrived.Sub(calls[first].Arrived) >= time.Second {
			first++
		}
		if n := i - first + 1; n > worst && !h.Unclear(calls[first].Arrived, c.Arrived) {
			worst, at = n, calls[first].Arrived
		}
	}
	return worst, at
}

// nobodyCallsWhilePaused: the pause after a global throttle lasts a second at least.
func (h *History) nobodyCallsWhilePaused(fail Fail) {
	for i, c := range h.Calls {
		if c.Code != "90002" || c.Lost {
			continue
		}
		// The answer takes its time, and what was on its way then still comes.
		from, to := c.Arrived.Add(h.Latency+300*time.Millisecond), c.Arrived.Add(950*time.Millisecond)
		if h.Disturbed(c.Arrived.Add(-time.Second), to) {
			continue
		}
		for _, later := range h.Calls[i+1:] {
			if later.Arrived.After(from) && later.Arrived.Before(to) {
				fail("pace: call %d came %v after call %d was throttled", later.Number, later.Arrived.Sub(c.Arrived), c.Number)
				return
			}
		}
	}
}

// Letters reads the pairs that dead letters wait for, by job.
func Letters(inspector *asynq.Inspector) (map[string]map[Pair]bool, error) {
	all := map[string]map[Pair]bool{}
	for page := 1; ; page++ {
		waiting, err := inspector.ListScheduledTasks(tasks.QueueDeadLetter, asynq.PageSize(500), asynq.Page(page))
		if err != nil || len(waiting) == 0 {
			if errors.Is(err, asynq.ErrQueueNotFound) {
				err = nil // nothing was ever in it
			}
			return all, err
		}
		for _, info := range waiting {
			letter, err := tasks.Decode(info.Payload)
			if err != nil {
				return nil, fmt.Errorf("dead letter %s: %w", info.ID, err)
			}
			if all[letter.JobID] == nil {
				all[letter.JobID] = map[Pair]bool{}
			}
			for user, role := range letter.EachOwned() {
				all[letter.JobID][Pair{user, role}] = true
			}
		}
	}
}
