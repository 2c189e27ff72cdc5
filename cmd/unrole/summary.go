package main

import (
	"context"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/tasks"
)

// printJob prints a finished or waiting job: as the JSON object of the contract, or as a summary for people.
func (a *app) printJob(ctx context.Context, l *ledger.Ledger, job ledger.Job, took time.Duration) error {
	if a.output == outputJSON {
		return a.printJSON(job)
	}
	p := job.Pairs
	var refused []*report.RefusedID
	if p.Dead > 0 {
		var err error
		if refused, err = report.Refused(ctx, l, job.JobID); err != nil {
			return err
		}
	}
	t := a.newTable()
	if job.Simulated {
		done := texts.T("no role is taken from anybody")
		if job.Action == tasks.Add {
			done = texts.T("no role is given to anybody")
		}
		t.row(texts.T("SIMULATION"), done)
	}
	t.row(texts.T("job"), job.JobID)
	t.row(texts.T("state"), a.stateOf(job.State))
	if job.Refusal != "" {
		t.row(texts.T("refused"), texts.Recall(job.Refusal))
	}
	if job.ResolvingFailed != "" {
		t.row(texts.T("waits"), texts.Recall(job.ResolvingFailed))
	}
	if job.Action == tasks.Add {
		t.row(texts.T("given back"), pairsOf(p.Restored))
	} else {
		t.row(texts.T("removed"), pairsOf(p.Removed))
		if seen := job.Snapshot; seen != nil && seen.NotHeld > 0 {
			t.row(texts.T("was not held"), pairsOf(seen.NotHeld))
		}
		if seen := job.Snapshot; seen != nil && seen.Unresolved > 0 {
			t.row(texts.T("names nobody for certain"), texts.Count(seen.Unresolved, "%d row", "%d rows"))
		}
	}
	if job.Restores != "" {
		t.row(texts.T("gives back"), texts.T("what job %s removed", job.Restores))
	}
	if job.RestoredBy != nil {
		t.row(texts.T("given back by"), strings.Join(job.RestoredBy, ", "))
	}
	if p.Dead > 0 {
		t.row(texts.T("dead letters"), texts.T("%s of %s that DingTalk refuses", pairsOf(p.Dead), texts.Count(len(refused), "%d id", "%d ids")))
	}
	if p.Cancelled > 0 {
		t.row(texts.T("cancelled"), pairsOf(p.Cancelled))
	}
	if p.Pending > 0 {
		t.row(texts.T("pending"), pairsOf(p.Pending))
	}
	t.row(texts.T("API calls"), callsOfJob(job))
	if took > 0 {
		t.row(texts.T("time"), duration(took.Seconds()))
	}
	if err := t.print(); err != nil {
		return err
	}
	if err := a.printUnresolved(job); err != nil {
		return err
	}
	return a.printRefused(refused)
}

// printUnresolved names what of a job was not resolved, and where it stood.
func (a *app) printUnresolved(job ledger.Job) error {
	if len(job.Unresolved) == 0 {
		return nil
	}
	t := a.newTable(texts.T("where it stood"), texts.T("reason"), texts.T("in words"))
	for _, u := range job.Unresolved {
		t.row(u.Pointer, string(u.Reason), texts.Recall(u.Detail))
	}
	if err := t.print(); err != nil {
		return err
	}
	if job.MoreUnresolved > 0 {
		a.note(texts.T("… and %d more: unrole jobs report %s has all", job.MoreUnresolved, job.JobID))
	}
	return nil
}

// callsOfJob is how many calls a job took, and how many were planned once that can be compared.
func callsOfJob(job ledger.Job) texts.Text {
	more := job.APICalls - job.PlannedCalls
	switch {
	case job.PlannedCalls == 0 || !job.State.Finished():
		return texts.T("%d", job.APICalls)
	case more > 0:
		return texts.T("%d (%d planned, %d more for refused ids and faults)", job.APICalls, job.PlannedCalls, more)
	}
	return texts.T("%d (%d planned)", job.APICalls, job.PlannedCalls)
}

// stateColours are the colours that states of a job have on a terminal.
var stateColours = map[ledger.State]text.Color{
	ledger.StateCompleted:               text.FgGreen,
	ledger.StateCompletedWithDeadLetter: text.FgRed,
	ledger.StateCancelled:               text.FgYellow,
	ledger.StateRefused:                 text.FgRed,
}

func (a *app) stateOf(s ledger.State) cell { return a.coloured(stateColours[s], ledger.InWords(s)) }

// mostRefused is how many refused ids a summary names.
const mostRefused = 20

// printRefused names the ids that DingTalk refuses, under what is the matter with them and what to do.
func (a *app) printRefused(refused []*report.RefusedID) error {
	var t *alignedTable
	end := func() error {
		if t == nil {
			return nil
		}
		return t.print()
	}
	var last tasks.Reason
	for i, r := range refused[:min(mostRefused, len(refused))] {
		if i == 0 || r.Reason != last {
			if err := end(); err != nil {
				return err
			}
			t, last = a.newTable(), r.Reason
			a.line(texts.T(""))
			if err := a.printReason(r.Reason); err != nil {
				return err
			}
		}
		t.row(texts.T("  %s", r.Subject()), pairsOf(r.Pairs), r.Code, r.ErrMsg)
	}
	if err := end(); err != nil {
		return err
	}
	if more := len(refused) - mostRefused; more > 0 {
		a.line(texts.T("  and %d more", more))
	}
	return nil
}

// printReason is the heading of ids that are refused for one reason: what it is, what it means, what to do.
func (a *app) printReason(reason tasks.Reason) error {
	t := a.newTable()
	t.row(cell{string(reason), text.FgRed}, report.Means(reason))
	t.row(texts.T("  what to do"), report.Remedy(reason))
	return t.print()
}
