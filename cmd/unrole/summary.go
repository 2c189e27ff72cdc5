package main

import (
	"cmp"
	"context"
	"encoding/json"
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
		return json.NewEncoder(a.stdout).Encode(job)
	}
	p := job.Pairs
	t := newTable()
	t.row("job", job.JobID)
	t.row("state", stateWords(job.State))
	t.row("removed", counted(int(p.Removed), "pair", "pairs"))
	if p.Dead > 0 {
		t.row("dead letters", counted(int(p.Dead), "pair", "pairs"))
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
	if p.Dead > 0 {
		return a.printRefusals(ctx, l, job.JobID)
	}
	return nil
}

func stateWords(s ledger.State) string {
	if s == ledger.StateCompletedWithDeadLetter {
		return "completed, with dead letters"
	}
	return string(s)
}

// refusal is what DingTalk said about an id, and how many pairs are dead for it.
type refusal struct {
	code  int
	sub   string
	msg   string
	pairs int
}

// mostRefusals is how many refused ids a summary names.
const mostRefusals = 20

// printRefusals lists the dead letters of a job by the id that each is about.
func (a *app) printRefusals(ctx context.Context, l *ledger.Ledger, jobID string) error {
	type key struct {
		reason tasks.Reason
		id     string
	}
	found := map[key]*refusal{}
	err := l.Rows(ctx, jobID, func(r ledger.Row) error {
		o := r.Outcome
		if o.Kind != ledger.Dead {
			return nil
		}
		id := ""
		switch o.Reason {
		case tasks.ReasonInvalidRole, tasks.ReasonSystemRole:
			id = "role " + strconv.FormatInt(r.RoleID, 10)
		default:
			id = "user " + r.UserID
		}
		k := key{o.Reason, id}
		f := found[k]
		if f == nil {
			f = &refusal{code: o.ErrCode, sub: o.SubCode, msg: o.ErrMsg}
			found[k] = f
		}
		f.pairs++
		return nil
	})
	if err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(found), func(x, y key) int {
		return cmp.Or(cmp.Compare(x.reason, y.reason), cmp.Compare(x.id, y.id))
	})
	fmt.Fprintf(a.stdout, "\ndead letters\n")
	t := newTable()
	for i, k := range keys {
		if i == mostRefusals {
			break
		}
		f := found[k]
		code := strconv.Itoa(f.code)
		if f.sub != "" {
			code += "/" + f.sub
		}
		t.row("  "+string(k.reason), k.id, counted(f.pairs, "pair", "pairs"), code, f.msg)
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if more := len(keys) - mostRefusals; more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more\n", thousands(more))
	}
	return nil
}
