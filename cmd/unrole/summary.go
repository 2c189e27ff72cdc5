package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/ledger"
	"github.com/unrole/unrole/tasks"
)

// printJob prints a finished or waiting job: as the JSON object of the contract, or as a summary for people.
func (a *app) printJob(ctx context.Context, l *ledger.Ledger, job ledger.Job, took time.Duration) error {
	if a.output == outputJSON {
		return a.printJSON(job)
	}
	p := job.Pairs
	var refused []refusedID
	if p.Dead > 0 {
		var err error
		if refused, err = refusedIDs(ctx, l, job.JobID); err != nil {
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

// refusedID is an id whose pairs are dead letters, with what DingTalk said about it.
type refusedID struct {
	reason tasks.Reason
	id     string
	code   string
	msg    string
	pairs  int
}

// refusedIDs lists the dead letters of a job by the id that each is about.
func refusedIDs(ctx context.Context, l *ledger.Ledger, jobID string) ([]refusedID, error) {
	found := map[string]*refusedID{}
	err := l.Rows(ctx, jobID, func(r ledger.Row) error {
		o := r.Outcome
		if o.Kind != ledger.Dead {
			return nil
		}
		id := "user " + r.UserID
		if o.Reason == tasks.ReasonInvalidRole || o.Reason == tasks.ReasonSystemRole {
			id = "role " + strconv.FormatInt(r.RoleID, 10)
		}
		key := string(o.Reason) + " " + id
		f := found[key]
		if f == nil {
			f = &refusedID{reason: o.Reason, id: id, code: strconv.Itoa(o.ErrCode), msg: o.ErrMsg}
			if o.SubCode != "" {
				f.code += "/" + o.SubCode
			}
			found[key] = f
		}
		f.pairs++
		return nil
	})
	if err != nil {
		return nil, err
	}
	list := make([]refusedID, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		list = append(list, *found[key])
	}
	return list, nil
}

// mostRefused is how many refused ids a summary names.
const mostRefused = 20

func (a *app) printRefused(refused []refusedID) error {
	fmt.Fprintf(a.stdout, "\ndead letters\n")
	t := newTable()
	for _, f := range refused[:min(mostRefused, len(refused))] {
		t.row("  "+string(f.reason), f.id, counted(f.pairs, "pair", "pairs"), f.code, f.msg)
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if more := len(refused) - mostRefused; more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more\n", thousands(more))
	}
	return nil
}
