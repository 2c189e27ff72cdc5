package main

import (
	"context"
	"fmt"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
)

// printJob prints a finished or waiting job: as the JSON object of the contract, or as a summary for people.
func (a *app) printJob(ctx context.Context, l *ledger.Ledger, job ledger.Job, took time.Duration) error {
	if a.output == outputJSON {
		return a.printJSON(job)
	}
	p := job.Pairs
	var refused []*report.Letter
	if p.Dead > 0 {
		var err error
		if refused, err = report.Letters(ctx, l, job.JobID); err != nil {
			return err
		}
	}
	t := newTable()
	t.row("job", job.JobID)
	t.row("state", stateWords(job.State))
	t.row("removed", counted(int(p.Removed), "pair", "pairs"))
	if p.Dead > 0 {
		t.row("dead letters", counted(int(p.Dead), "pair", "pairs")+" of "+counted(len(refused), "id", "ids")+" that DingTalk refuses")
	}
	if p.Cancelled > 0 {
		t.row("cancelled", counted(int(p.Cancelled), "pair", "pairs"))
	}
	if p.Pending > 0 {
		t.row("pending", counted(int(p.Pending), "pair", "pairs"))
	}
	calls := thousands(int(job.APICalls))
	if job.PlannedCalls > 0 && job.State.Finished() {
		calls += fmt.Sprintf(" (%s planned", thousands(int(job.PlannedCalls)))
		if more := job.APICalls - job.PlannedCalls; more > 0 {
			calls += fmt.Sprintf(", %s more for refused ids and faults", thousands(int(more)))
		}
		calls += ")"
	}
	t.row("API calls", calls)
	if took > 0 {
		t.row("time", duration(took.Seconds()))
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if len(refused) == 0 {
		return nil
	}
	return a.printRefused(refused)
}

func stateWords(s ledger.State) string {
	if s == ledger.StateCompletedWithDeadLetter {
		return "completed, with dead letters"
	}
	return string(s)
}

// mostRefused is how many refused ids a summary names.
const mostRefused = 20

func (a *app) printRefused(refused []*report.Letter) error {
	fmt.Fprintf(a.stdout, "\ndead letters\n")
	t := newTable()
	for _, f := range refused[:min(mostRefused, len(refused))] {
		t.row("  "+string(f.Reason), f.ID, counted(int(f.Pairs), "pair", "pairs"), f.Code, f.ErrMsg)
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if more := len(refused) - mostRefused; more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more\n", thousands(more))
	}
	return nil
}
