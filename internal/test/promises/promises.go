// Package promises checks from outside whether a history of faults kept what unrole promises: by what DingTalk was called
// for, what the record says, and which dead letters wait.
package promises

import (
	"errors"
	"fmt"
	"slices"
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
	// Named is what a removal asks for by names; Pairs are what its report says then. Nil where it asks by ids.
	Named *Named
	// Cancelled is when somebody's cancel was done; zero if nobody did. Discarded are pairs whose dead letter somebody
	// threw away.
	Cancelled time.Time
	Discarded map[Pair]bool
	// Kept is since when people are to keep what the job has not begun to take; Asked are those for whom somebody asked that.
	Kept  map[string]time.Time
	Asked map[string]bool
	// Shared are pairs that a part of the job covers and another one counts.
	Shared map[Pair]bool
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
	Letter  string // in which it waits, by the record
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
	// Directory is who was in DingTalk's directory. Lookups are the calls that read it, by their APIs. Left are people who left, GivenAgain
	// pairs that somebody gave in between.
	Directory  *Directory
	Lookups    map[string][]simulator.Call
	Left       map[string]bool
	GivenAgain map[Pair]bool
	// Letters are the dead letters that wait for a pair, by job and pair.
	Letters map[string]map[Pair][]string

	// Protected is a user whom nobody may touch; Bad users are refused for their reason, BadRole as a system role (0 for
	// none). Mended users were put right at DingTalk in between. Poisoned ids are those whose calls are answered busy or
	// by an unknown code, for ever.
	Protected string
	Bad       map[string]tasks.Reason
	BadRole   int64
	Mended    map[string]bool
	// Archived says that a person archived tasks, whose pairs may be dead as crashed.
	Archived bool
	// Blamed are reasons for which DingTalk refused ids for a while that are right.
	Blamed map[tasks.Reason]bool

	// QPS is the ceiling; Extra how many more calls may arrive in a second because their way took differently long.
	QPS, Extra int
	// Latency is the longest that an answer takes.
	Latency time.Duration
	// InFlight is how long after a cancel a call may still arrive that was on its way.
	InFlight time.Duration
	// Disturbed reports whether a process was kept in that time from knowing or doing anything; Unclear whether calls
	// that arrived in that time cannot be held against the pace.
	Disturbed, Unclear func(from, to time.Time) bool
	// Forgot: Redis lost something that it had acknowledged.
	Forgot bool
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
		h.nobodyByGuess(j, fail)
		for p := range j.Pairs {
			h.rightEnd(j, p, fail)
		}
		h.oneLetterEach(j, fail)
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
	for _, calls := range h.Lookups {
		h.paceHeld(calls, fail)
	}
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

// nothingCalledOnceCancelled: a pair of which every job that asked for it was cancelled is in no call after the last
// of the cancels, but for calls that were on their way.
func (h *History) nothingCalledOnceCancelled(action tasks.Action, fail Fail) {
	jobs, calls := h.of(action)
	since := map[Pair]time.Time{}
	never := time.Now().Add(time.Hour)
	for _, j := range jobs {
		for p := range j.Pairs {
			at := never
			for _, said := range []time.Time{j.Cancelled, j.Kept[p.User]} {
				if !said.IsZero() && said.Before(at) {
					at = said
				}
			}
			if at.After(since[p]) {
				since[p] = at
			}
		}
	}
	for _, c := range calls {
		eachPair(c, func(p Pair) {
			// One that was under way may have to wait for another token, and is repeated with it.
			if late := c.Arrived.Sub(since[p]); late > h.InFlight && !h.Disturbed(since[p], c.Arrived) && !h.Unclear(since[p], c.Arrived) {
				fail("only what was asked: call %d covers %v, cancelled %v before", c.Number, p, late)
			}
		})
	}
	// A call that took effect and whose answer arrived is not reported as cancelled by every job that it can have served, but where another
	// part counts the pair (docs/reliability.md, what is not promised).
	answered := map[Pair]uint64{}
	for _, c := range calls {
		if c.Code == "0" && !c.Lost && !h.Disturbed(c.Arrived.Add(-2*time.Second), c.Arrived.Add(2*time.Second)) {
			eachPair(c, func(p Pair) { answered[p] = c.Number })
		}
	}
	for p, number := range answered {
		owned := false
		for _, j := range jobs {
			if end, asked := j.Ends[p]; asked && (end.Outcome != "cancelled" || j.Shared[p]) {
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
		if _, given := h.Before[p]; !given && !h.GivenAgain[p] && h.Sim.Holds(p.User, p.Role) || !h.accepted(j.Action, p) {
			broken("nothing lost: DingTalk has never done it")
		}
		if badUser && !h.Mended[p.User] || p.Role == h.BadRole || p.User == h.Protected {
			broken("a bad id cannot be removed")
		}
	case "cancelled":
		if j.Cancelled.IsZero() && !j.Asked[p.User] {
			broken("nobody cancelled it")
		}
	case "dead_letter":
		if len(h.Letters[j.ID][p]) == 0 && !j.Discarded[p] {
			broken("nothing lost: no dead letter waits for it")
		}
		switch {
		case p.User == h.Protected && end.Reason == tasks.ReasonProtected:
		case h.Left[p.User] && end.Reason == tasks.ReasonUserGone:
		case badUser && end.Reason == why:
		case h.Blamed[end.Reason]:
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

// oneLetterEach: a dead letter waits for pairs that are dead, and for each of them no other one does: whoever lists letters
// counts them, and whoever tries one again means all of them. Where Redis lost what it had acknowledged, a letter may wait beside the
// one that the record names; and where a worker was kept from counting the letter that it had put, one may wait for what was cancelled
// meanwhile. See docs/reliability.md, what is not promised.
func (h *History) oneLetterEach(j *Job, fail Fail) {
	for p, letters := range h.Letters[j.ID] {
		end := j.Ends[p]
		if h.Forgot && slices.Contains(letters, j.ID+":"+end.Letter) {
			continue
		}
		if at := j.Record.CancelledAt; len(letters) == 1 && end.Outcome == "cancelled" && at != nil && (h.Forgot || h.Disturbed(*at, *at)) {
			continue
		}
		if len(letters) > 1 || end.Outcome != "dead_letter" {
			fail("counted once: %s: %v is %q, and waits in %d dead letters: %v", j.ID, p, end.Outcome, len(letters), letters)
		}
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

// Letters reads which dead letters wait for each pair, by job.
func Letters(inspector *asynq.Inspector) (map[string]map[Pair][]string, error) {
	all := map[string]map[Pair][]string{}
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
				all[letter.JobID] = map[Pair][]string{}
			}
			for user, role := range letter.EachOwned() {
				p := Pair{user, role}
				all[letter.JobID][p] = append(all[letter.JobID][p], info.ID)
			}
		}
	}
}
