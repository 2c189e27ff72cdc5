package fleet

import (
	"fmt"
	"maps"
	"time"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// referenceStory is the history of which every operation is once the last of its process: submissions on each way, a part
// that splits, a burst, calls that serve several jobs, a search, dead letters, a replay, a cancel, a job for later, the
// webhook, a restart, a restore, a job that asks for people by their numbers.
func referenceStory() plan {
	p := plan{seed: 1, active: active, workers: 2, qps: 40, pace: 300 * time.Microsecond, protected: "boss",
		bad:      map[string]tasks.Reason{"employee003": tasks.ReasonUserGone, "employee007": tasks.ReasonInvalidUser},
		dingtalk: simulator.Options{Seed: 1, TokenTTL: time.Hour, Latency: 20 * time.Millisecond, GoneUsers: []string{"employee003"}, BadUsers: []string{"employee007"}}}
	add := func(j *job, users, roles int) {
		j.ID, j.lane, j.Discarded = fmt.Sprint("job-", len(p.jobs)), tasks.QueueDefault, map[promises.Pair]bool{}
		j.Pairs = map[promises.Pair]bool{}
		for u := range users {
			for r := range roles {
				j.Pairs[promises.Pair{User: fmt.Sprintf("employee%03d", u), Role: 1507113500 + int64(r)}] = true
			}
		}
		p.jobs = append(p.jobs, j)
	}
	add(&job{by: byQueue}, 101, 1)
	add(&job{by: byCommand}, 5, 2)
	add(&job{by: byIntake, at: 300 * time.Millisecond}, 9, 3)
	for i := range 4 { // a burst
		add(&job{by: byCommand, at: time.Second + time.Duration(i)*10*time.Millisecond}, 1, 1+i)
	}
	add(&job{by: byIntake, at: 500 * time.Millisecond, starts: 4 * time.Second}, 2, 2)
	add(&job{by: byCommand, at: time.Second, waits: true}, 2, 3)
	add(&job{by: byCommand, at: 6 * time.Second, restores: p.jobs[1], evenLater: true}, 0, 0)
	p.jobs[len(p.jobs)-1].Action = tasks.Add
	p.before = maps.Clone(p.jobs[1].Pairs)
	p.askByNumbers()
	p.events = []event{
		{at: 1200 * time.Millisecond, kind: "job cancelled", pick: 8},
		{at: 2 * time.Second, kind: "letters replayed", pick: 2},
		{at: 3 * time.Second, kind: "worker stopped", pick: 0, lasts: time.Second},
		{at: 3500 * time.Millisecond, kind: "letters replayed", pick: 1},
		{at: 5 * time.Second, kind: "job verified", pick: 1},
	}
	return p
}

// askByNumbers adds a job in which nobody is named by their id: all roles of one, a role by its name of another one, whose staff
// number is looked up in everybody's, and a number that nobody has.
func (p *plan) askByNumbers() {
	p.desks, p.directoryTTL = map[promises.Pair]bool{}, time.Hour
	for i := range 3 {
		c := colleague(i, fmt.Sprint("colleague", i))
		p.people = append(p.people, c)
		p.desks[promises.Pair{User: c.UserID, Role: deskRoles[0].ID}] = true
		p.desks[promises.Pair{User: c.UserID, Role: deskRoles[1].ID}] = true
	}
	j := &job{by: byIntake, at: 2500 * time.Millisecond, lane: tasks.QueueDefault, wishes: []wish{
		{Wish: promises.Wish{Who: saidOf(p.people[0], lists.Mobile), AllRoles: true}},
		{Wish: promises.Wish{Who: saidOf(p.people[1], lists.JobNumber), Roles: []int64{deskRoles[1].ID}}, roleNames: []string{"desk/clerk"}},
		{Wish: promises.Wish{Who: lists.Person{By: lists.Mobile, Text: "13900000000"}, AllRoles: true}},
	}}
	j.ID, j.Pairs, j.Discarded, j.Named = "named", map[promises.Pair]bool{}, map[promises.Pair]bool{}, &promises.Named{Skip: true}
	for _, w := range j.wishes {
		j.Named.Wishes = append(j.Named.Wishes, w.Wish)
	}
	p.jobs = append(p.jobs, j)
}

// point is one operation of a history, by the name of its process and its number there.
type point struct {
	process string
	number  int
	after   bool // the process ends when it has taken effect
}

func (p point) String() string {
	when := "before"
	if p.after {
		when = "after"
	}
	return fmt.Sprintf("%s ends %s its operation %d", p.process, when, p.number)
}

// withCrash is the plan with one process ending at a point.
func (p plan) withCrash(at point) plan {
	p.crash = &at
	return p
}
