package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// mostRest is the longest that a job which stands still is left alone.
	mostRest = 2 * time.Hour
	// mostLooks is how many jobs one look reads: a fleet that starts knows none of its open jobs.
	mostLooks = 1000
)

// Rounds are looks at the open jobs, again and again, for those that stand still. They remember when each job is worth the
// next look, so that ten thousand jobs which wait cost next to nothing. Stalled belongs to one goroutine.
type Rounds struct {
	ledger       *Ledger
	still, again time.Duration
	rests        map[string]rest
	most         int             // jobs that one look reads
	read         map[string]bool // the jobs that were read since all had their turn

	mu    sync.Mutex
	woken map[string]bool // since the last look
	all   bool            // are woken
}

// rest is how a job is left alone.
type rest struct {
	until time.Time
	long  time.Duration // after a look that found it well; the next rest is twice as long
	moved string        // when the job had moved last; one that moves rests anew
}

// Rounds begins with every job unknown. A job stands still when it has not moved for still; it is not looked at again
// before again has passed, then twice as long, up to two hours.
func (l *Ledger) Rounds(still, again time.Duration) *Rounds {
	return &Rounds{ledger: l, still: still, again: again, most: mostLooks, rests: map[string]rest{}}
}

// Stalled lists the unfinished jobs that are due, whose parts are known, and that have neither moved nor been checked
// for a while: candidates for a look at whether asynq still has their tasks. It takes ended jobs out of the index. It reads
// a thousand jobs at most; the next look goes on with the others.
func (r *Rounds) Stalled(ctx context.Context) ([]Job, error) {
	l, now := r.ledger, r.ledger.now()
	ids, err := l.openNames(ctx, indexedAnew)
	if err != nil {
		return nil, err
	}
	r.rouse()
	rests := make(map[string]rest, len(ids))
	awake := slices.DeleteFunc(ids, func(id string) bool {
		have, known := r.rests[id]
		if known {
			rests[id] = have
		}
		return now.Before(have.until)
	})
	r.rests = rests
	awake = r.turn(awake)
	var candidates, ended []string
	seen, moved := map[string]bool{}, map[string]string{}
	err = l.fields(ctx, awake, []string{"phase", "touched_at", "checked_at", "finished_at", "created_at", "at"}, func(id string, f []string) {
		seen[id] = true
		due := parseTime(f[2]).Add(r.again)
		for _, moved := range []string{f[1], f[4], f[5]} {
			if t := parseTime(moved).Add(r.still); t.After(due) {
				due = t
			}
		}
		switch {
		case f[3] != "" || f[0] == "": // a hash without a phase is what others left of a record
			ended = append(ended, id)
		case f[0] == phasePlanning, f[0] == phaseResolving:
		case due.After(now):
			r.rests[id] = rest{until: due, long: r.longOf(id, f[1]), moved: f[1]}
		default:
			moved[id] = f[1]
			candidates = append(candidates, id)
		}
	})
	if err != nil {
		return nil, err
	}
	for _, id := range awake {
		if !seen[id] {
			ended = append(ended, id)
		}
	}
	if err := l.tidy(ctx, openKey, ended); err != nil {
		return nil, err
	}
	var stalled []Job
	next := map[string]rest{}
	for len(candidates) > 0 {
		page := candidates[:min(pageOfJobs, len(candidates))]
		candidates = candidates[len(page):]
		records, err := l.records(ctx, page)
		if err != nil {
			return nil, err
		}
		for i, fields := range records {
			if len(fields) == 0 {
				continue
			}
			job := l.job(page[i], fields)
			switch {
			case job.State.Finished():
			case job.Awaiting != "":
				next[page[i]] = rest{until: now.Add(r.again), moved: moved[page[i]]}
			default:
				long := min(max(2*r.longOf(page[i], moved[page[i]]), r.again), mostRest)
				next[page[i]] = rest{until: now.Add(long), long: long, moved: moved[page[i]]}
				stalled = append(stalled, job)
			}
		}
	}
	maps.Copy(r.rests, next) // once all could be read: who asks again after an error gets them all
	return stalled, nil
}

// turn are the jobs that a look reads: as many as it may, first those that were not read since all others were. Which job was read
// last says nothing: by the next look it may rest or have ended.
func (r *Rounds) turn(awake []string) []string {
	if len(awake) <= r.most {
		r.read = nil
		return awake
	}
	var now, before []string
	for _, id := range awake {
		if r.read[id] {
			before = append(before, id)
		} else {
			now = append(now, id)
		}
	}
	if len(now) < r.most { // all had their turn, and it begins anew
		now, r.read = append(now, before[:r.most-len(now)]...), nil
	}
	now = now[:r.most]
	if r.read == nil {
		r.read = map[string]bool{}
	}
	for _, id := range now {
		r.read[id] = true
	}
	return now
}

// longOf is how long a job has rested that has not moved since.
func (r *Rounds) longOf(id, moved string) time.Duration {
	if have := r.rests[id]; have.moved == moved {
		return have.long
	}
	return 0
}

// Wake has the next look read a job again, however long it was to rest: something was wrong with it, or a task of it has moved.
func (r *Rounds) Wake(jobID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.woken == nil {
		r.woken = map[string]bool{}
	}
	r.woken[jobID] = true
}

// WakeAll does so with all jobs: Redis may have lost tasks of any of them.
func (r *Rounds) WakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = true
}

// rouse ends the rests of the woken.
func (r *Rounds) rouse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all {
		clear(r.rests)
	}
	for id := range r.woken {
		delete(r.rests, id)
	}
	r.woken, r.all = nil, false
}
