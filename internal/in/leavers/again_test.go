package leavers_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/in/leavers"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

const annsJob = "leaver-20261231-ann"

func (w *world) due() { w.now = time.Date(2026, 12, 31, 18, 0, 0, 0, shanghai) }

func (w *world) approve(t *testing.T, id string) {
	t.Helper()
	if _, err := w.ledger.Approve(t.Context(), id, "eve", ""); err != nil {
		t.Fatal(err)
	}
}

func TestAfterAnErrorItIsLookedAgainSoonAndWhenTheNextJobIsDue(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\n")
	w.leaving("ann", 31)
	w.sim.Grant("ann", 7)
	w.look(t)
	w.broken = errors.New("HR is away")
	for i, want := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
		if next, err := w.poller.Look(t.Context()); err == nil || next.Sub(w.now) != want {
			t.Errorf("look %d: again in %v, %v; want %v", i, next.Sub(w.now), err, want)
		}
	}
	w.due()
	w.now = w.now.Add(-3 * time.Second)
	if next, _ := w.poller.Look(t.Context()); next.Sub(w.now) != 3*time.Second {
		t.Errorf("again in %v, and a job is due in 3 s", next.Sub(w.now))
	}
	w.broken = nil
	if next := w.look(t); next.Sub(w.now) != 3*time.Second {
		t.Errorf("again in %v", next.Sub(w.now))
	}
	w.due()
	if next := w.look(t); next.Sub(w.now) != 10*time.Minute {
		t.Errorf("again in %v", next.Sub(w.now))
	}
}

func TestWhatFailsForOneKeepsTheOthersFromNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\n")
	for _, id := range []string{"bob", "cid"} {
		w.leaving(id, 31)
		w.sim.Grant(id, 7)
	}
	w.look(t)
	w.leaving("ann", 31)
	w.sim.Grant("ann", 7)
	// A submission that was interrupted, of other roles than ann holds by now.
	at := time.Date(2026, 12, 31, 18, 0, 0, 0, shanghai)
	if _, err := w.ledger.Create(t.Context(), ledger.NewJob{JobID: annsJob, Source: leavers.Source, SubmittedBy: leavers.Source, Content: "other", Plan: "other",
		CreatedAt: w.now, At: at, Pairs: 1, Users: 1, Roles: 1, Parts: 1, Awaiting: ledger.AwaitingLastLook, LastLook: true}); err != nil {
		t.Fatal(err)
	}
	w.due()
	w.between = func() { // somebody lets it begin in the middle of the look
		if _, err := w.ledger.Begin(t.Context(), "leaver-20261231-bob", "eve", ""); err != nil {
			t.Error(err)
		}
	}
	w.look(t)
	jobs := w.jobs(t)
	for _, id := range []string{"leaver-20261231-bob", "leaver-20261231-cid", annsJob + ".v2"} {
		if job, known := jobs[id]; !known || job.Awaiting != "" || job.CancelledAt != nil {
			t.Errorf("%s: %+v", id, job)
		}
	}
	w.look(t)
	if again := w.jobs(t); len(again) != len(jobs) {
		t.Errorf("they leave once: %v", again)
	}
}

func TestARuleThatNamesNoRoleToKeepTakesNothingAndCancelsAllTheSame(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "mode: automatic\n")
	w.leaving("dan", 31)
	w.sim.Grant("dan", 7)
	w.look(t)
	w.stays("dan")
	w.leaving("eve", 31)
	w.sim.Grant("eve", 7)
	w.write(t, "keep_roles: [404]\n")
	if _, err := w.poller.Look(t.Context()); err == nil {
		t.Error("a role to keep that there is not is nothing to say")
	}
	jobs := w.jobs(t)
	if _, known := jobs["leaver-20261231-eve"]; known || jobs["leaver-20261231-dan"].CancelReason != "stays" {
		t.Errorf("%+v", jobs)
	}
}

func TestWhatAPersonCancelledStaysSoWhenItsRecordIsGone(t *testing.T) {
	for _, by := range []string{"eve", leavers.Source} {
		_, rdb := redistest.Memory(t)
		w := newWorld(t, rdb, "")
		w.leaving("ann", 31)
		w.sim.Grant("ann", 7)
		w.look(t)
		if _, err := w.ledger.Cancel(t.Context(), annsJob, by, ""); err != nil {
			t.Fatal(err)
		}
		// The retention takes the record, and leaves the audit trail.
		if err := rdb.Del(t.Context(), "unrole:job:{"+annsJob+"}").Err(); err != nil {
			t.Fatal(err)
		}
		w.look(t)
		jobs := w.jobs(t)
		if _, v2 := jobs[annsJob+".v2"]; len(jobs) > 1 || v2 != (by == leavers.Source) {
			t.Errorf("cancelled by %s: %+v", by, jobs)
		}
	}
}

func TestNothingIsSubmittedThatWasDueLongAgo(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, "")
	for id, days := range map[string]int{"ann": 31, "bob": 29} {
		w.sim.AddPerson(simulator.Person{UserID: id, LastDay: w.now.AddDate(0, 0, -days)})
		w.sim.Grant(id, 7)
	}
	w.look(t)
	jobs := w.jobs(t)
	if _, bob := jobs["leaver-20261129-bob"]; len(jobs) != 1 || !bob {
		t.Errorf("%+v", jobs)
	}
}

// A look that was interrupted has made some of the proposals: those who are left are no fewer leavers for that.
func TestProposalsThatNobodyApprovedCountAmongManyLeavers(t *testing.T) {
	for name, c := range map[string]struct {
		rule        string
		first, then int
	}{
		"max_users":   {"mode: automatic\nmax_users: 2\n", 3, 2},
		"large share": {"mode: automatic\n", 6, 4},
	} {
		_, rdb := redistest.Memory(t)
		w := newWorld(t, rdb, c.rule)
		for i := range c.first + c.then {
			w.stays(fmt.Sprint("u", i))
			w.sim.Grant(fmt.Sprint("u", i), 7)
		}
		for i := range c.first + c.then {
			w.leaving(fmt.Sprint("u", i), 31)
			if i == c.first-1 {
				w.look(t)
			}
		}
		w.look(t)
		jobs := w.jobs(t)
		if len(jobs) != c.first+c.then {
			t.Errorf("%s: %d jobs", name, len(jobs))
		}
		for id, job := range jobs {
			if job.Awaiting != ledger.AwaitingApproval {
				t.Errorf("%s: %s: %+v", name, id, job)
			}
		}
	}
}

func TestAYesIsForTheRolesOfThen(t *testing.T) {
	propose := func(t *testing.T) *world {
		_, rdb := redistest.Memory(t)
		w := newWorld(t, rdb, "")
		w.leaving("ann", 31)
		w.sim.Grant("ann", 7, 8)
		w.look(t)
		w.approve(t, annsJob)
		return w
	}
	t.Run("more", func(t *testing.T) {
		w := propose(t)
		w.due()
		w.sim.Grant("ann", 9)
		w.look(t)
		if job := w.jobs(t)[annsJob+".v2"]; job.Awaiting != ledger.AwaitingApproval || job.Pairs.Total != 3 {
			t.Fatalf("%+v", job)
		}
		w.approve(t, annsJob+".v2")
		w.look(t)
		if job := w.jobs(t)[annsJob+".v2"]; job.Awaiting != "" || job.CancelledAt != nil {
			t.Errorf("%+v", job)
		}
	})
	t.Run("fewer", func(t *testing.T) {
		w := propose(t)
		w.due()
		w.write(t, "keep_roles: [8]\n")
		w.look(t)
		if job := w.jobs(t)[annsJob+".v2"]; job.Awaiting != "" || job.CancelledAt != nil || job.Pairs.Total != 1 {
			t.Errorf("%+v", job)
		}
	})
	t.Run("a crash before the new job is there", func(t *testing.T) {
		w := propose(t)
		w.due()
		if _, err := w.ledger.Cancel(t.Context(), annsJob, leavers.Source, "holds other roles by now"); err != nil {
			t.Fatal(err)
		}
		w.look(t)
		if job := w.jobs(t)[annsJob+".v2"]; job.Awaiting != ledger.AwaitingApproval {
			t.Errorf("%+v", job)
		}
	})
}
