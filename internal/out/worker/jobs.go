package worker

import (
	"slices"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/out/isolate"
)

// jobs is what this worker knows of the jobs met last besides their tasks: the share of bad ids that their batches have
// shown, and whether DingTalk has said anything about one of them yet.
type jobs struct {
	mu   sync.Mutex
	byID map[string]*job
}

type job struct {
	learned  isolate.Learned
	used     time.Time
	underWay int           // calls
	answered bool          // one of them, ever
	over     chan struct{} // closed with the next end of a call; nil while nobody waits for it
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
			oldest := ""
			for id, k := range js.byID {
				if oldest == "" || k.used.Before(js.byID[oldest].used) {
					oldest = id
				}
			}
			delete(js.byID, oldest)
		}
		j = &job{answered: id == ""}
		js.byID[id] = j
	}
	j.used = time.Now()
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
