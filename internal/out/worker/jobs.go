package worker

import (
	"container/list"
	"slices"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// jobs is what this worker knows of the jobs met last besides their tasks: the share of bad ids that their batches have
// shown, and whether DingTalk has said anything about one of them yet.
type jobs struct {
	mu    sync.Mutex
	byID  map[string]*job
	order list.List // of ids, the one met last before all others
}

type job struct {
	learned  isolate.Learned
	place    *list.Element
	underWay int             // calls
	answered bool            // one of them, ever
	over     chan struct{}   // closed with the next end of a call; nil while nobody waits for it
	poisoned map[int64]bool  // roles whose every call is busy
	busy     int             // answers in a row, of all its batches
	taken    map[string]bool // ids, as fields of the ledger, that DingTalk has taken since it was busy first
	foci     map[string]int  // what each part is down to that was busy too often, see focus
}

const (
	maxJobs = 256
	// maxUnanswered is how many calls of a job are under way before any is answered. Its batches mostly share their roles: one
	// bad role, and every call that goes out before the first answer is refused.
	maxUnanswered = 4
)

func newJobs() *jobs { return &jobs{byID: map[string]*job{}} }

// learned is what the calls of the group's job have shown, or, for a group of several jobs, what such calls have: a burst
// of single removals learns from all of it.
func (js *jobs) learned(g *group) *isolate.Learned {
	js.mu.Lock()
	defer js.mu.Unlock()
	return &js.of(jobOf(g)).learned
}

// jobOf is the job of all members of the group; empty, which is no job's id, if they have several.
func jobOf(g *group) string {
	id := g.members[0].part.JobID
	if slices.ContainsFunc(g.members, func(m *member) bool { return m.part.JobID != id }) {
		return ""
	}
	return id
}

// of is the job of that id. mu is held.
func (js *jobs) of(id string) *job {
	j := js.byID[id]
	if j == nil {
		if len(js.byID) >= maxJobs {
			delete(js.byID, js.order.Remove(js.order.Back()).(string))
		}
		j = &job{answered: id == "", place: js.order.PushFront(id)}
		js.byID[id] = j
	}
	js.order.MoveToFront(j.place)
	return j
}

// begin notes that a call of the group is under way, unless its job has to wait for an answer first. Its end is to be told.
func (js *jobs) begin(g *group) (end func(answered bool), ok bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.of(jobOf(g))
	if !j.answered && j.underWay >= maxUnanswered {
		return nil, false
	}
	j.underWay++
	return func(answered bool) {
		js.mu.Lock()
		defer js.mu.Unlock()
		j.underWay--
		j.answered = j.answered || answered
		if j.over != nil {
			close(j.over)
			j.over = nil
		}
	}, true
}

// wait is closed when the next call of the job has ended; nil if another one may begin now.
func (js *jobs) wait(id string) <-chan struct{} {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.of(id)
	if j.answered || j.underWay < maxUnanswered {
		return nil
	}
	if j.over == nil {
		j.over = make(chan struct{})
	}
	return j.over
}

// poisons notes a role whose every call DingTalk answers busy, whoever is called with it.
func (js *jobs) poisons(id string, role int64) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.of(id)
	if j.poisoned == nil {
		j.poisoned = map[int64]bool{}
	}
	j.poisoned[role] = true
}

// poisonous reports whether the role was found so.
func (js *jobs) poisonous(id string, role int64) bool {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.of(id).poisoned[role]
}

// busy counts one more busy answer to a batch of the job.
func (js *jobs) busy(id string) {
	js.mu.Lock()
	defer js.mu.Unlock()
	js.of(id).busy++
}

// maxTaken bounds how many ids of a job are remembered that DingTalk has taken.
const maxTaken = 20_000

// passed notes what of the job passed. Who is in it is remembered once some of the job was busy.
func (js *jobs) passed(part *tasks.Part, share pairs.Rectangle) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.byID[part.JobID]
	if j == nil || j.busy == 0 && j.taken == nil {
		return
	}
	j.busy = 0
	if j.taken == nil || len(j.taken) > maxTaken {
		j.taken = map[string]bool{}
	}
	for _, u := range share.Users {
		j.taken[ledger.UserField(part.UserIDs[u])] = true
	}
	for _, r := range share.Roles {
		j.taken[ledger.RoleField(part.RoleIDs[r])] = true
	}
}

// busyInARow is how many answers to batches of the job were busy since something of it passed.
func (js *jobs) busyInARow(id string) int {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.of(id).busy
}

// turnsTo notes what a part is down to, and reports whether it was not known to be: fresh, and whether it was something else: turned.
func (js *jobs) turnsTo(part *tasks.Part, focus int) (fresh, turned bool) {
	js.mu.Lock()
	defer js.mu.Unlock()
	j := js.of(part.JobID)
	if j.foci == nil || len(j.foci) > maxTaken {
		j.foci = map[string]int{}
	}
	before, known := j.foci[part.Part]
	j.foci[part.Part] = focus
	return !known || before != focus, known && before != focus
}

// likely are those ids of a rectangle of the part that DingTalk has taken in other calls of the job; on a side where that is
// nobody, all of them.
func (js *jobs) likely(part *tasks.Part, of pairs.Rectangle) pairs.Rectangle {
	likely := js.takenOf(part, of)
	if len(likely.Users) == 0 {
		likely.Users = of.Users
	}
	if len(likely.Roles) == 0 {
		likely.Roles = of.Roles
	}
	return likely
}

// takenOf are those ids of a rectangle of the part that DingTalk has taken in other calls of the job, as far as it is remembered.
func (js *jobs) takenOf(part *tasks.Part, of pairs.Rectangle) (known pairs.Rectangle) {
	js.mu.Lock()
	defer js.mu.Unlock()
	taken := js.of(part.JobID).taken
	for _, u := range of.Users {
		if taken[ledger.UserField(part.UserIDs[u])] {
			known.Users = append(known.Users, u)
		}
	}
	for _, r := range of.Roles {
		if taken[ledger.RoleField(part.RoleIDs[r])] {
			known.Roles = append(known.Roles, r)
		}
	}
	return known
}
