package resolver_test

import (
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/simulator"
)

// What was read of everybody for one staff number serves other jobs and the next worker, and names nobody who has the number no more.
func TestStaffNumbersAreFoundByWhatTheFleetHasRead(t *testing.T) {
	w := newWorld(t)
	w.config.DirectoryTTL = time.Hour
	stop := w.work()
	ask := func(id, role string, people ...string) ledger.Job {
		t.Helper()
		w.ask(id, asked.Request{Elements: []asked.Element{named(t, []string{role}, people...)}})
		return w.ended(id)
	}
	if job := ask("first", "会计", "job:00412"); job.State != ledger.StateCompleted || w.sim.Holds("wang1", 11) || w.listed.Load() == 0 {
		t.Errorf("%+v", job)
	}
	for _, secret := range []string{"00412", "wang@example.com"} {
		if strings.Contains(everything(t, w.rdb), secret) {
			t.Errorf("Redis has %s", secret)
		}
	}
	read := w.listed.Load()
	stop()
	w.work()
	if job := ask("second", "财务/出纳", "email:wang@example.com"); job.State != ledger.StateCompleted || w.sim.Holds("wang2", 7) {
		t.Errorf("%+v", job)
	}
	if n := w.listed.Load(); n != read {
		t.Errorf("the next worker read the directory again: %d departments", n-read)
	}

	// The number passes to another, who is nobody's guess: the directory is read anew.
	w.sim.AddPerson(simulator.Person{UserID: "wang1", Name: "王芳", Mobile: "13812345678", Departments: []int64{10}})
	w.sim.AddPerson(simulator.Person{UserID: "li", Name: "李雷", Mobile: "13987654321", JobNumber: "00412"})
	if job := ask("third", "财务/出纳", "job:00412"); job.State != ledger.StateCompleted || w.sim.Holds("li", 7) || !w.sim.Holds("wang1", 7) || w.listed.Load() == read {
		t.Errorf("%+v", job)
	}
	// Whoever reads the directory meets both who have a number.
	w.sim.AddPerson(simulator.Person{UserID: "han", Name: "韩梅梅", JobNumber: "412"})
	w.sim.AddPerson(simulator.Person{UserID: "zhou", Name: "周", JobNumber: "77"})
	if job := ask("fourth", "会计", "job:77"); job.State != ledger.StateCompleted {
		t.Errorf("%+v", job)
	}
	job := ask("fifth", "会计", "job:412")
	if job.State != ledger.StateRefused || len(job.Unresolved) != 1 || job.Unresolved[0].Reason != snapshot.Ambiguous || len(job.Unresolved[0].Candidates) != 2 {
		t.Errorf("%+v", job)
	}
}
