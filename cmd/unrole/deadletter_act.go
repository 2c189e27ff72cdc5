package main

import (
	"context"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/deadletter"
)

// letterOrder is a decision about dead letters: replay or discard.
type letterOrder struct {
	letterFlags
	why         string
	yes, dryRun bool
	wait        bool

	// verb is what is to be done with "3 dead letters": as a question, as a plan, and as a report.
	question, plan, report func(letters texts.Text) texts.Text
	// ofCancelled says that the letters of a cancelled job are left alone.
	ofCancelled bool
	carryOut    func(*deadletter.Queue, context.Context, *deadletter.Selection, deadletter.Order) (deadletter.Done, error)
}

func (a *app) lettersReplayCommand() *cobra.Command {
	o := &letterOrder{question: func(l texts.Text) texts.Text { return texts.T("Try %s again?", l) }, plan: func(l texts.Text) texts.Text { return texts.T("would be tried again: %s", l) },
		report: func(l texts.Text) texts.Text { return texts.T("due again: %s", l) }, ofCancelled: true, carryOut: (*deadletter.Queue).Replay}
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Try dead letters again, for their own jobs",
		Long: `replay makes dead letters due: workers really call DingTalk for them again, at the fleet's pace, for the jobs they came
from. What is accepted counts as removed; what is refused again is one dead letter again, with the attempts added up. Correct
the cause first: an id that is wrong stays wrong. Without ids and filters it is about all dead letters. Letters of a
cancelled job wait on.

` + letterFilterHelp,
		Example: `  unrole deadletter replay --reason busy --why "DingTalk is back"
  unrole deadletter replay 20261231-180000-k3x9q2ab:3-u17`,
	}
	cmd.Flags().BoolVar(&o.wait, "wait", false, "stay until they were tried again; the exit code is 3 where a job still has dead letters")
	addConfigFlags(cmd.Flags(), "DINGTALK_APP_KEY")
	return a.letterOrderCommand(cmd, o)
}

func (a *app) lettersDiscardCommand() *cobra.Command {
	o := &letterOrder{question: func(l texts.Text) texts.Text { return texts.T("Give up %s for good?", l) }, plan: func(l texts.Text) texts.Text { return texts.T("would be given up: %s", l) },
		report: func(l texts.Text) texts.Text { return texts.T("given up: %s", l) }, carryOut: (*deadletter.Queue).Discard}
	cmd := &cobra.Command{
		Use:   "discard [ID...] --why REASON",
		Short: "Give dead letters up",
		Long: `discard deletes dead letters: nobody tries them again. Their pairs stay counted as dead, and who gave them up and why stays
in the job's audit trail. Without ids and filters it is about all dead letters. The record of a job whose last letter is
gone is kept for UNROLE_RETENTION from then on.

` + letterFilterHelp,
		Example: `  unrole deadletter discard --reason user_gone --older-than 30d --why "left the company, nothing to remove"`,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if o.why = strings.TrimSpace(o.why); o.why == "" {
				return usageError(cmd, texts.T("--why is missing: say why they are given up, for the records"))
			}
			return nil
		},
	}
	return a.letterOrderCommand(cmd, o)
}

func (a *app) letterOrderCommand(cmd *cobra.Command, o *letterOrder) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		// Before a connection is made: what is wrong with the flags.
		if _, err := o.filter(cmd, a.now()); err != nil {
			return err
		}
		return a.withRecords(func(ctx context.Context, cmd *cobra.Command, r *records, ids []string) error {
			q := deadletter.New(r.rdb, r.ledger)
			s, err := o.choose(ctx, cmd, q, ids, a.now())
			if err != nil {
				return err
			}
			return a.carryOut(ctx, r, q, s, o)
		})(cmd, args)
	}
	o.add(a, cmd)
	cmd.Flags().StringVar(&o.why, "why", "", "why, for the records")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask for a confirmation")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_RETENTION")
	return cmd
}

// letterResult is what an order came to, as JSON.
type letterResult struct {
	// Letters and Pairs were acted on, or would be (dry_run); Pairs counts those of Passed letters too.
	Letters int      `json:"letters"`
	Pairs   int      `json:"pairs"`
	Jobs    []string `json:"jobs"`
	// Passed letters were being tried again already, or gone.
	Passed int `json:"passed"`
	// CancelledJobs have letters that were left alone.
	CancelledJobs []string `json:"cancelled_jobs"`
	DryRun        bool     `json:"dry_run"`
}

func (a *app) carryOut(ctx context.Context, r *records, q *deadletter.Queue, s *deadletter.Selection, o *letterOrder) error {
	res := letterResult{CancelledJobs: []string{}, Passed: len(s.InMotion), DryRun: o.dryRun}
	if o.ofCancelled {
		out, err := q.WithoutCancelled(ctx, s)
		if err != nil {
			return err
		}
		res.CancelledJobs = append(res.CancelledJobs, out.Jobs()...)
	}
	a.sayFew(res.CancelledJobs, func(job string) texts.Text {
		return texts.T("%s was cancelled: the dead letters of that job wait on", job)
	})
	a.sayFew(s.InMotion, func(letter string) texts.Text { return texts.T("%s is being tried again already", letter) })
	res.Letters, res.Pairs, res.Jobs = s.Letters(), s.Pairs(), s.Jobs()
	switch {
	case res.Letters == 0:
		if res.Passed == 0 && len(res.CancelledJobs) == 0 {
			a.note(texts.T("no dead letter matches"))
		}
		return a.printLetterResult(res, nil)
	case o.dryRun:
		if a.output == outputText {
			if err := a.printShares(s); err != nil {
				return err
			}
		}
		return a.printLetterResult(res, o.plan)
	}
	if !o.yes {
		if !a.isTerminal(a.stdin) || !a.isTerminal(a.stderr) {
			return exitWith(exitGuard, texts.T("this is about %s: look at it with --dry-run, then repeat with --yes", lettersOf(res)))
		}
		if err := a.confirmed(ctx, o.question(lettersOf(res))); err != nil {
			return err
		}
	}
	bar := a.newProgress(res.Letters, texts.T("letters"))
	var mu sync.Mutex
	done, err := o.carryOut(q, ctx, s, deadletter.Order{By: a.whoami(), Why: o.why, Progress: func(n int) {
		mu.Lock()
		defer mu.Unlock()
		bar.set(n)
	}})
	bar.done()
	if err != nil {
		return texts.T("%v\n%d of %s done; the same command again goes on with the others", err, done.Letters, lettersOf(res))
	}
	res.Letters, res.Passed = done.Letters, res.Passed+done.Passed
	res.CancelledJobs = append(res.CancelledJobs, done.Cancelled...)
	a.sayFew(done.Cancelled, func(job string) texts.Text {
		return texts.T("%s was cancelled meanwhile: the dead letters of that job wait on", job)
	})
	if done.Passed > 0 {
		a.note(texts.Count(done.Passed, "%d letter was passed over: somebody was faster", "%d letters were passed over: somebody was faster"))
	}
	if err := a.printLetterResult(res, o.report); err != nil {
		return err
	}
	switch {
	case o.wait:
		return a.waitForLetters(ctx, r, q, s)
	case o.ofCancelled:
		a.sayHowToWatch(res.Jobs)
	}
	return nil
}

// sayHowToWatch names the commands that show what becomes of letters that are due.
func (a *app) sayHowToWatch(jobs []string) {
	job := "JOB"
	if len(jobs) == 1 {
		job = jobs[0]
	}
	a.note(texts.T("workers take them; unrole jobs show %s has the counts, unrole deadletter list --job %s what is refused again", job, job))
}

func (a *app) printLetterResult(res letterResult, sentence func(texts.Text) texts.Text) error {
	if a.output == outputJSON {
		if res.Jobs == nil {
			res.Jobs = []string{}
		}
		return a.printJSON(res)
	}
	if sentence != nil {
		a.line(sentence(lettersOf(res)))
	}
	return nil
}

// lettersOf is "3 dead letters (56 pairs of 2 jobs)".
func lettersOf(res letterResult) texts.Text {
	return texts.T("%s (%s of %s)", texts.Count(res.Letters, "%d dead letter", "%d dead letters"), pairsOf(res.Pairs), texts.Count(len(res.Jobs), "%d job", "%d jobs"))
}

// mostShares is how many jobs or letters are named one by one.
const mostShares = 20

// sayFew says a sentence about each of the names, up to a number that is still read.
func (a *app) sayFew(names []string, sentence func(name string) texts.Text) {
	for _, name := range names[:min(len(names), mostShares)] {
		a.note(sentence(name))
	}
	if more := len(names) - mostShares; more > 0 {
		a.note(texts.T("and so for %d more", more))
	}
}

func (a *app) printShares(s *deadletter.Selection) error {
	shares := s.Shares()
	t := a.newTable(texts.T("job"), texts.T("letters"), texts.T("pairs"))
	for _, share := range shares[:min(len(shares), mostShares)] {
		t.row(share.JobID, thousands(share.Letters), thousands(share.Pairs))
	}
	if err := t.print(); err != nil {
		return err
	}
	if more := len(shares) - mostShares; more > 0 {
		a.line(texts.Count(more, "and %d more job", "and %d more jobs"))
	}
	return nil
}
