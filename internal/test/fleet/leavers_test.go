package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// What everything needs at 20 calls a second is its lookups, each API's beside those of the others, and then its calls.
func TestTwoThousandLeaversTakeWhatTheirLookupsAndCallsNeed(t *testing.T) {
	lastsLong(t)
	const people, qps = 2000, 20
	j := &job{lane: tasks.QueueDefault}
	j.ID, j.Pairs, j.Named = "leavers", map[promises.Pair]bool{}, &promises.Named{}
	p := plan{seed: 1, workers: 1, qps: qps, pace: 100 * time.Microsecond, jobs: []*job{j}, dingtalk: simulator.Options{Seed: 1, QPS: qps + 1, Latency: 50 * time.Millisecond}}
	for i := range people {
		id := fmt.Sprintf("leaver%04d", i)
		p.people = append(p.people, simulator.Person{UserID: id, Name: id, Mobile: fmt.Sprintf("1380000%04d", i)})
		j.wishes = append(j.wishes, wish{Wish: promises.Wish{Who: lists.Person{By: lists.Mobile, Text: p.people[i].Mobile}, AllRoles: true}})
		j.Named.Wishes = append(j.Named.Wishes, j.wishes[i].Wish)
	}
	stage(t, p, nil, func(w *world) {
		held := &enqueue.Removals{}
		for i, person := range p.people { // departments that hold the same eight roles each
			for r := range 8 {
				role := 1507114000 + int64(i%10*8+r)
				w.sim.AddRole(role, fmt.Sprint("role ", role), "g")
				w.sim.Grant(person.UserID, role)
				held.Add(person.UserID, role)
			}
		}
		w.begin()
		time.Sleep(5 * time.Second) // until one leads
		began := time.Now()
		w.submit(j)
		job := w.ended(j.ID, 5*time.Minute)
		took := time.Since(began)
		lookups, needed := 0, 0
		for _, calls := range w.company.lookups {
			lookups, needed = lookups+len(calls), max(needed, len(calls))
		}
		plan, calls := len(enqueue.PlanOf(held, "p")), len(w.sim.Calls())
		need := time.Duration(float64(needed+plan) / qps * float64(time.Second))
		t.Logf("%d lookups, %d calls of %d planned for %d pairs: %v, %.3f times the %v that they need", lookups, calls, plan, held.Pairs(), took.Round(time.Millisecond), took.Seconds()/need.Seconds(), need)
		if job.State != ledger.StateCompleted || job.Pairs.Removed != int64(held.Pairs()) || w.sim.Assignments() != 0 {
			w.broken("%+v", job)
		}
		if took.Seconds() > 1.1*need.Seconds() {
			w.broken("it took %v", took)
		}
		if float64(calls) > 1.03*float64(plan) {
			w.broken("%d calls, planned are %d", calls, plan)
		}
	})
}
