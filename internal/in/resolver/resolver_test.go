package resolver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
)

func TestPeopleAndRolesByNameLoseExactlyWhatTheyHold(t *testing.T) {
	w := newWorld(t)
	asking := w.ask("j", asked.Request{Elements: []asked.Element{named(t, []string{"财务/出纳", "会计"}, "mobile:138 1234 5678", "job:412")}})
	if asking.State != ledger.StateResolving || asking.Source != "hr" {
		t.Errorf("as it was asked: %+v", asking)
	}
	w.work()
	job := w.ended("j")
	if job.State != ledger.StateCompleted || job.Pairs.Removed != 3 || job.Snapshot == nil || job.Snapshot.NotHeld != 1 || job.Users != 2 {
		t.Errorf("%+v", job)
	}
	if w.sim.Holds("wang1", 7) || w.sim.Holds("wang1", 11) || w.sim.Holds("wang2", 7) || !w.sim.Holds("wang1", 8) || !w.sim.Holds("li", 7) {
		t.Error("something else was removed")
	}
	for _, row := range []string{`"user_id":"wang2","role_id":11,"outcome":"not_held"`, `"user_id":"wang1","role_id":7,"outcome":"removed"`} {
		if !strings.Contains(w.report("j"), row) {
			t.Errorf("the report has no %s:\n%s", row, w.report("j"))
		}
	}
}

func TestAllRolesLeavesTheDefaultGroupAndWhatIsKept(t *testing.T) {
	w := newWorld(t)
	e := named(t, nil, "mobile:13812345678", "li")
	e.AllRoles = true
	w.ask("j", asked.Request{Elements: []asked.Element{e, named(t, []string{"财务/出纳"}, "job:412")}, Keep: []lists.Role{{Name: "会计"}}})
	w.work()
	if job := w.ended("j"); job.State != ledger.StateCompleted || job.Pairs.Removed != 4 {
		t.Errorf("%+v", job)
	}
	if !w.sim.Holds("wang1", 9) || !w.sim.Holds("wang1", 11) || !w.sim.Holds("li", 11) || w.sim.Holds("li", 7) || w.sim.Holds("wang2", 7) {
		t.Error("not what was asked for")
	}
}

func TestNobodyIsTakenByGuessAndTheReasonsAreNamed(t *testing.T) {
	people := []string{"name:王芳", "mobile:13811111111", "mobile:13700000003", "mobile:13700000001", "li"}
	want := map[string]snapshot.Reason{"/removals/0/users/0": snapshot.Ambiguous, "/removals/0/users/1": snapshot.Unknown,
		"/removals/0/users/2": snapshot.Departed, "/removals/0/users/3": snapshot.Administrator, "/removals/1": snapshot.AmbiguousRole, "/removals/2": snapshot.DefaultGroup}
	ask := func(w *world, skip bool) ledger.Job {
		w.ask("j", asked.Request{SkipUnresolved: skip, Elements: []asked.Element{named(t, []string{"财务/出纳"}, people...),
			named(t, []string{"出纳"}, "wang2", "li"), named(t, []string{"主管"}, "wang1")}})
		w.work()
		job := w.ended("j")
		got := map[string]snapshot.Reason{}
		for _, u := range job.Unresolved {
			got[u.Pointer] = u.Reason
			if u.Reason == snapshot.Ambiguous && (len(u.Candidates) != 2 || u.Candidates[0].Name != "王芳") {
				t.Errorf("the candidates of %s: %+v", u.Pointer, u.Candidates)
			}
			if strings.Contains(u.Detail, "13811111111") || u.Detail == "" {
				t.Errorf("%s: %q", u.Pointer, u.Detail)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("unresolved: %v, want %v", got, want)
		}
		if n := strings.Count(w.report("j"), `"outcome":"unresolved"`); n != len(want) {
			t.Errorf("the report names %d:\n%s", n, w.report("j"))
		}
		return job
	}
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t)
		if job := ask(w, false); job.State != ledger.StateRefused || job.Refusal == "" || job.FinishedAt == nil || job.Pairs.Total != 0 {
			t.Errorf("%+v", job)
		}
		if n := w.sim.Stats().Removals; n != 0 {
			t.Errorf("%d calls were made", n)
		}
	})
	t.Run("skipped", func(t *testing.T) {
		w := newWorld(t)
		if job := ask(w, true); job.State != ledger.StateCompleted || job.Pairs.Removed != 1 || w.sim.Holds("li", 7) || !w.sim.Holds("wang1", 7) {
			t.Errorf("%+v", job)
		}
	})
}

func TestWhatWasWrittenDoesNotOutliveTheLookup(t *testing.T) {
	w := newWorld(t)
	requests := map[string]asked.Request{
		"done":    {Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13812345678")}},
		"refused": {Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13987654321", "mobile:13899999999", "name:没有这人", "email:no@example.com")}},
		"nothing": {Elements: []asked.Element{named(t, []string{"会计"}, "email:wang@example.com")}},
		"gone":    {Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13987654321")}},
	}
	for id, r := range requests {
		w.ask(id, r)
	}
	if _, err := w.ledger.Cancel(t.Context(), "gone", "hr", "stays"); err != nil {
		t.Fatal(err)
	}
	w.work()
	for id, state := range map[string]ledger.State{"done": ledger.StateCompleted, "refused": ledger.StateRefused, "nothing": ledger.StateCompleted, "gone": ledger.StateCancelled} {
		if job := w.ended(id); job.State != state {
			t.Errorf("%s is %s", id, job.State)
		}
	}
	for _, secret := range []string{"13812345678", "13987654321", "13899999999", "没有这人", "no@example.com", "wang@example.com"} {
		if all := everything(t, w.rdb); strings.Contains(all, secret) {
			t.Errorf("Redis still has %s", secret)
		}
	}
	// And yet the same again is known to be the same.
	for id, r := range requests {
		done, err := w.asked.Ask(t.Context(), asked.Asking{JobID: id, Request: &r})
		if err != nil || !done.Existed {
			t.Errorf("%s again: %+v %v", id, done, err)
		}
		var taken *enqueue.ConflictError
		if _, err := w.asked.Ask(t.Context(), asked.Asking{JobID: id, Request: &asked.Request{Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13811111111")}}}); !errors.As(err, &taken) {
			t.Errorf("%s with somebody else: %v", id, err)
		}
		if _, err := w.asked.Ask(t.Context(), asked.Asking{JobID: id, Request: &r, At: time.Now().Add(time.Hour)}); !errors.As(err, &taken) || !taken.SamePairs {
			t.Errorf("%s at another time: %v", id, err)
		}
	}
}

func TestAProtectedPersonIsProtectedUnderAnyName(t *testing.T) {
	w := newWorld(t)
	w.ask("j", asked.Request{SkipUnresolved: true, Elements: []asked.Element{named(t, []string{"财务/出纳"}, "mobile:13700000002", "li")}})
	w.work()
	if job := w.ended("j"); job.State != ledger.StateRefused || !strings.Contains(job.Refusal, "boss") || !w.sim.Holds("li", 7) {
		t.Errorf("%+v", job)
	}
	var protected *enqueue.ProtectedError
	if _, err := w.asked.Ask(t.Context(), asked.Asking{Request: &asked.Request{Elements: []asked.Element{named(t, []string{"会计"}, "boss")}}}); !errors.As(err, &protected) {
		t.Errorf("by the user id: %v", err)
	}
}

func TestAJobOfNamesIsCancelledWhileItIsLookedUp(t *testing.T) {
	w := newWorld(t)
	w.deaf.Store(true)
	w.work()
	for _, id := range []string{"whole", "person"} {
		w.ask(id, asked.Request{Elements: []asked.Element{named(t, []string{"财务/出纳"}, "mobile:13987654321", "job:412")}})
		if job := w.until(id, func(j ledger.Job) bool { return j.ResolvingFailed != "" }); job.State != ledger.StateResolving {
			t.Errorf("%+v", job)
		}
	}
	job, err := w.client.Cancel(t.Context(), "whole", "hr", "stays")
	if err != nil || job.State != ledger.StateCancelled || job.FinishedAt == nil || job.CancelReason != "stays" {
		t.Errorf("%+v %v", job, err)
	}
	if _, err := w.ledger.CancelUsers(t.Context(), []string{"li"}, "hr", "stays"); err != nil {
		t.Fatal(err)
	}
	w.deaf.Store(false)
	if job := w.ended("person"); job.Pairs.Removed != 1 || job.Pairs.Cancelled != 1 || job.ResolvingFailed != "" {
		t.Errorf("%+v", job)
	}
	if !w.sim.Holds("li", 7) || w.sim.Holds("wang2", 7) {
		t.Error("not the one who stays kept the role")
	}
}

func TestRemovalsGoOnWhileNobodyCanBeLookedUp(t *testing.T) {
	w := newWorld(t)
	w.deaf.Store(true)
	w.work()
	w.ask("names", asked.Request{Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13812345678")}})
	w.until("names", func(j ledger.Job) bool { return j.ResolvingFailed != "" })
	ids, err := enqueue.FromLists([]string{"li"}, []int64{7})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Submit(t.Context(), enqueue.Submission{JobID: "ids", Removals: ids}); err != nil {
		t.Fatal(err)
	}
	if job := w.ended("ids"); job.State != ledger.StateCompleted {
		t.Errorf("%+v", job)
	}
	w.deaf.Store(false)
	if job := w.ended("names"); job.State != ledger.StateCompleted {
		t.Errorf("%+v", job)
	}
}

func TestLimitsApplyOnceItIsKnownWhoIsMeant(t *testing.T) {
	w := newWorld(t)
	both := named(t, []string{"财务/出纳"}, "mobile:13987654321", "job:412")
	w.ask("day", asked.Request{Elements: []asked.Element{both}, MaxUsersPerDay: 1})
	w.work()
	if job := w.until("day", func(j ledger.Job) bool { return j.State != ledger.StateResolving }); job.State != ledger.StateScheduled || job.Awaiting == "" {
		t.Errorf("%+v", job)
	}
	if n := w.sim.Stats().Removals; n != 0 {
		t.Errorf("%d calls were made", n)
	}
	var guard *enqueue.GuardError
	if _, err := w.asked.Ask(t.Context(), asked.Asking{MaxUsers: 1, Request: &asked.Request{Elements: []asked.Element{both}}}); !errors.As(err, &guard) {
		t.Errorf("two people where one may be: %v", err)
	}
}

// Of what is refused nothing counts for the day of its source.
func TestWhatIsRefusedUsesUpNoDay(t *testing.T) {
	w := newWorld(t)
	w.ask("refused", asked.Request{Elements: []asked.Element{named(t, []string{"财务/出纳"}, "mobile:13700000002", "mobile:13987654321")}, MaxUsersPerDay: 2})
	w.work()
	if job := w.until("refused", func(j ledger.Job) bool { return j.State != ledger.StateResolving }); job.State != ledger.StateRefused {
		t.Fatalf("%+v", job)
	}
	w.ask("two", asked.Request{Elements: []asked.Element{named(t, []string{"财务/出纳"}, "mobile:13987654321", "job:412")}, MaxUsersPerDay: 2})
	if job := w.ended("two"); job.State != ledger.StateCompleted {
		t.Errorf("%+v", job)
	}
}

func TestAnotherWorkerLooksUpWhatADeadOneHasBegun(t *testing.T) {
	w := newWorld(t)
	w.deaf.Store(true)
	stop := w.work()
	w.ask("j", asked.Request{Elements: []asked.Element{named(t, []string{"会计"}, "mobile:13812345678")}})
	w.until("j", func(j ledger.Job) bool { return j.ResolvingFailed != "" })
	stop()
	w.deaf.Store(false)
	began := time.Now()
	w.work()
	if job := w.ended("j"); job.State != ledger.StateCompleted || time.Since(began) > 5*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), job)
	}
}
