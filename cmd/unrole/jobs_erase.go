package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/erase"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// beyondErase is what no erasure in Redis reaches.
var beyondErase = []texts.Text{
	texts.T("the audit file (UNROLE_AUDIT_FILE), where a reason may name somebody"),
	texts.T("reports, snapshots and lists that somebody saved"),
	texts.T("logs of other systems, and DingTalk's own records"),
	texts.T("backups of Redis, and its append-only file until the next BGREWRITEAOF"),
}

// eraseResult is what an erasure came to, as JSON.
type eraseResult struct {
	erase.Result
	// Beyond is what it does not reach.
	Beyond []string `json:"beyond"`
}

func (a *app) jobsEraseCommand() *cobra.Command {
	var wish erase.Wish
	var yes bool
	run := a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, _ []string) error {
		wish.By = a.whoami()
		would := wish
		would.DryRun = true
		found, err := erase.Run(ctx, r.rdb, r.ledger, would)
		if err != nil {
			return err
		}
		if wish.DryRun || isNothing(found) {
			found.DryRun = wish.DryRun
			return a.printErased(found)
		}
		if !yes {
			if !a.isTerminal(a.stdin) || !a.isTerminal(a.stderr) {
				return exitWith(exitGuard, texts.T("this is about %s: look at it with --dry-run, then repeat with --yes", erasedOf(found)))
			}
			if err := a.confirmed(ctx, texts.T("Erase %s for good?", erasedOf(found))); err != nil {
				return err
			}
		}
		done, err := erase.Run(ctx, r.rdb, r.ledger, wish)
		if err != nil {
			return texts.T("%v\nthe same command again goes on with the others", err)
		}
		return a.printErased(done)
	})
	cmd := &cobra.Command{
		Use:   "erase --user ID",
		Short: "Forget a person's data in finished jobs",
		Long: `erase puts a random name in the place of a person's user id in everything that Redis has of finished jobs: records, results,
snapshots, the texts of reasons, audit trails, tasks that are kept for a while and messages of the webhook. Dead letters of
the person alone are given up; one that is of others too keeps these. Numbers stay true: the same pairs stay counted, of
somebody whom nobody knows any more. A job whose own id names the person is dropped as a whole. The audit trail of each job
keeps that somebody was erased, by whom and why, without the id.

A job that has not ended is named and left as it is, and so is a list that waits in the console; the exit code is 1 then. Wait
for its end, or cancel it, and repeat. What may as well be about somebody with a longer id (zhang-2, zhang.li for zhang) is
named too. Who submitted, cancelled or approved a job stays in its record. A job some of whose
people were erased cannot be restored for them, and its id cannot be submitted again.

What it does not reach is said at its end; docs/privacy.md has all of it.`,
		Example: `  unrole jobs erase --user manager4220 --dry-run
  unrole jobs erase --user manager4220 --why "request of 2026-12-31" --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(wish.UserIDs) == 0 {
				return usageError(cmd, texts.T("--user is missing: say who is to be forgotten"))
			}
			for _, id := range wish.UserIDs {
				if err := tasks.ValidateUserID(id); err != nil {
					return usageError(cmd, err)
				}
				if forget.IsStandIn(id) {
					return usageError(cmd, texts.T("%s stands for somebody who was erased already", id))
				}
			}
			wish.Why = strings.TrimSpace(wish.Why)
			return run(cmd, args)
		},
	}
	cmd.Flags().StringSliceVar(&wish.UserIDs, "user", nil, "user ids of the people to be forgotten (required)")
	cmd.Flags().StringVar(&wish.Why, "why", "", "why, for the records; without the id")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for a confirmation")
	cmd.Flags().BoolVar(&wish.DryRun, "dry-run", false, "say what would be erased, and erase nothing")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_RETENTION")
	return cmd
}

func isNothing(r erase.Result) bool { return r.Jobs+r.Limits+r.Signs == 0 }

// erasedOf is "what 3 jobs have of them (5 pairs, 1 dead letter)".
func erasedOf(r erase.Result) texts.Text {
	return texts.T("what %s of them (%s, %s)", texts.Count(r.Jobs, "%d job has", "%d jobs have"), pairsOf(r.Pairs),
		texts.Count(r.Letters, "%d dead letter", "%d dead letters"))
}

func (a *app) printErased(r erase.Result) error {
	if a.output == outputJSON {
		var beyond []string
		for _, what := range beyondErase {
			beyond = append(beyond, what.String())
		}
		if err := a.printJSON(eraseResult{r, beyond}); err != nil {
			return err
		}
	} else if err := a.sayErased(r); err != nil {
		return err
	}
	waiting := 0
	for _, l := range r.Left {
		if l.State != erase.Doubtful { // a repetition finds that as it is
			waiting++
		}
	}
	if waiting > 0 {
		return exitWith(exitError, texts.T("%s: repeat when they have ended", texts.Count(waiting, "%d job still has something of them", "%d jobs still have something of them")))
	}
	return nil
}

func (a *app) sayErased(r erase.Result) error {
	did := texts.T("erased: %s", erasedOf(r))
	if r.DryRun {
		did = texts.T("would be erased: %s", erasedOf(r))
	}
	if isNothing(r) {
		a.line(texts.T("no finished job has anything of them"))
	} else {
		a.line(did)
		t := a.newTable()
		for _, row := range []struct {
			what texts.Text
			n    int
		}{
			{texts.T("jobs dropped, since their ids name them"), r.Dropped}, {texts.T("tasks that were kept for a while"), r.Tasks},
			{texts.T("messages of the webhook"), r.Messages}, {texts.T("limits of a day"), r.Limits},
			{texts.T("staff numbers and addresses in the index of the directory"), r.Signs},
		} {
			if row.n > 0 {
				t.row(row.what, thousands(row.n))
			}
		}
		if err := t.print(); err != nil {
			return err
		}
	}
	for _, l := range r.Left {
		if l.State == erase.Doubtful {
			a.note(texts.T("left as it is: %s, which may as well be about somebody with a longer id", l.JobID))
			continue
		}
		a.note(texts.T("left as it is: %s (%s)", l.JobID, a.stateOf(ledger.State(l.State)).text))
	}
	a.note(texts.T("not reached by this:"))
	for _, what := range beyondErase {
		a.note(texts.T("  %s", what))
	}
	return nil
}
