package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/verify"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

func (a *app) verifyCommand() *cobra.Command {
	var reportFile string
	cmd := &cobra.Command{
		Use:   "verify JOB",
		Short: "Ask DingTalk who still holds the roles of a job",
		Long: `verify changes nothing: it reads from DingTalk who holds each role of the job, at the pace of the fleet, and says of every
requested pair whether it is gone, still held, or unknown; of a restore, whether it is held, not held, held over other departments
than before, or unknown. The answers stay with the job; its reports carry them.

The exit code is 0 when every pair is as the job was to leave it, 3 when only dead letters are left, 4 when DingTalk would not answer
(a permission, credentials, a hold), and 1 when anything else is not so, or unknown.`,
		Example: `  unrole verify 20261231-180000-k3x9q2ab --report verified.xlsx`,
		Args:    exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			if err := r.config.NeedCredentials(); err != nil {
				return exitWith(exitCredentials, err)
			}
			return a.verify(ctx, r, args[0], reportFile)
		}),
	}
	cmd.Flags().StringVar(&reportFile, "report", "", "write what became of each pair, with a column verified, to this file: .csv, .xlsx, .html or .json")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS")
	return cmd
}

func (a *app) verify(ctx context.Context, r *records, jobID, reportFile string) error {
	c := r.config
	job, err := r.ledger.Get(ctx, jobID)
	if err != nil {
		return err
	}
	out, err := a.newReportTarget("--report", reportFile, "")
	if err != nil {
		return err
	}
	if out != nil {
		defer out.discard()
	}
	switch {
	case job.State.Finished():
	case job.Action == tasks.Add:
		a.note(texts.T("job %s has not ended: what is pending is not held yet, most likely", jobID))
	default:
		a.note(texts.T("job %s has not ended: what is pending is still held, most likely", jobID))
	}
	res, err := a.askWhoHolds(ctx, c, parts(r.rdb, a.logger(c)), r.ledger, jobID)
	if err != nil {
		return err
	}
	if out != nil {
		if err := a.writeReport(ctx, out, r.ledger, job, nil); err != nil {
			return err
		}
	}
	if err := a.printVerification(jobID, res); err != nil {
		return err
	}
	return endOfVerification(res)
}

// askWhoHolds asks DingTalk about every pair of a job, and keeps the answers with it.
func (a *app) askWhoHolds(ctx context.Context, c *config.Config, with engine.Parts, l *ledger.Ledger, jobID string) (verify.Result, error) {
	pacer, err := engine.NewPacer(c, with)
	if err != nil {
		return verify.Result{}, err
	}
	client, err := dingtalk.New(engine.Credentials(c, with))
	if err != nil {
		return verify.Result{}, err
	}
	defer client.Close()
	pacing, stopPacing := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { pacer.Run(pacing) })
	defer background.Wait()
	defer stopPacing()

	var bar *progress
	res, err := verify.Job(ctx, verify.Config{Directory: client, Pacer: pacer, Ledger: l, By: a.whoami(),
		Progress: func(done, total int) {
			if bar == nil {
				bar = a.newProgress(total, texts.T("roles"))
			}
			bar.set(done)
		}}, jobID)
	bar.done()
	return res, err
}

// verifyEnded verifies a job that has just ended, as --verify asks. Where DingTalk still shows what it said it took, it is asked
// again for a while: nobody says how soon its lists follow.
func (a *app) verifyEnded(ctx context.Context, c *config.Config, with engine.Parts, l *ledger.Ledger, jobID string) (verify.Result, error) {
	const times, pause = 4, 5 * time.Second
	for n := 1; ; n++ {
		res, err := a.askWhoHolds(ctx, c, with, l, jobID)
		if err != nil || res.Contrary.Pairs == 0 || n == times {
			return res, err
		}
		again := texts.T("DingTalk still lists %s that it said were removed: asking again", pairsOf(res.Contrary.Pairs))
		if res.Action == tasks.Add {
			again = texts.T("DingTalk does not list %s as it said it gave them back: asking again", pairsOf(res.Contrary.Pairs))
		}
		a.note(again)
		if err := wait.For(ctx, pause); err != nil {
			return res, err
		}
	}
}

// addVerifyFlag adds --verify.
func addVerifyFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "verify", false, "ask DingTalk afterwards who holds the roles, as unrole verify does; the exit code then tells that too")
}

// sayVerified prints a verification beside its job, where there was one.
func (a *app) sayVerified(jobID string, res *verify.Result) error {
	if res == nil {
		return nil
	}
	return a.printVerification(jobID, *res)
}

func (a *app) printVerification(jobID string, res verify.Result) error {
	if a.output == outputJSON {
		return a.printJSON(struct {
			JobID string `json:"job_id"`
			ledger.Verification
			HeldAlthoughRemoved int64 `json:"still_held_although_removed"`
			NotAsGivenBack      int64 `json:"not_as_given_back,omitempty"`
		}{jobID, res.Verification, contrary(res, tasks.Remove), contrary(res, tasks.Add)})
	}
	t := a.newTable()
	t.row(texts.T("job"), jobID)
	but, open, dead := texts.T("still held, although DingTalk said they were removed"), texts.T("still held: not done yet, or cancelled"),
		texts.T("still held: DingTalk refuses to remove them")
	if res.Action == tasks.Add {
		but, open, dead = texts.T("not held as before, although DingTalk said they were given back"), texts.T("not held: not done yet, or cancelled"),
			texts.T("not held: DingTalk refuses to give them back")
		t.row(texts.T("held"), pairsOf(res.Held))
		t.row(texts.T("not held"), pairsOf(res.NotHeld))
		t.row(texts.T("held, with another management scope"), pairsOf(res.OtherScope))
	} else {
		t.row(texts.T("gone"), pairsOf(res.Gone))
		t.row(texts.T("still held"), pairsOf(res.StillHeld))
	}
	t.row(texts.T("unknown"), pairsOf(res.Unknown))
	if res.Why != "" {
		t.row(texts.T("because"), texts.Recall(res.Why))
	}
	if err := t.print(); err != nil {
		return err
	}
	for _, left := range []struct {
		what texts.Text
		verify.Left
	}{
		{but, res.Contrary},
		{open, res.Open},
		{dead, res.Dead},
		{texts.T("unknown"), res.UnknownOther},
		{texts.T("unknown: DingTalk knows no such role"), res.UnknownDead},
	} {
		if left.Pairs == 0 {
			continue
		}
		a.line(texts.T("\n%s", left.what))
		t := a.newTable()
		for _, row := range left.First {
			t.row(texts.T("  user %s", row.UserID), texts.T("role %s", strconv.FormatInt(row.RoleID, 10)), string(row.Outcome.Reason), row.Outcome.RequestID)
		}
		if err := t.print(); err != nil {
			return err
		}
		if more := left.Pairs - int64(len(left.First)); more > 0 {
			a.line(texts.T("  and %d more", more))
		}
	}
	return nil
}

// contrary counts the pairs of a job of the action that are not as DingTalk said.
func contrary(res verify.Result, action tasks.Action) int64 {
	if res.Action != action {
		return 0
	}
	return res.Contrary.Pairs
}

// endOfVerification turns what was found into an exit code.
func endOfVerification(res verify.Result) error {
	switch {
	case contrary(res, tasks.Add) > 0:
		return exitWith(exitError, texts.Count(res.Contrary.Pairs, "%d pair is not held as before although DingTalk said it was given back",
			"%d pairs are not held as before although DingTalk said they were given back"))
	case contrary(res, tasks.Remove) > 0:
		return exitWith(exitError, texts.Count(res.Contrary.Pairs, "%d pair is still held although DingTalk said it was removed",
			"%d pairs are still held although DingTalk said they were removed"))
	case res.Denied:
		return exitWith(exitCredentials, texts.T("DingTalk was not asked about everything: %s", texts.Recall(res.Why)))
	case res.UnknownOther.Pairs > 0:
		return exitWith(exitError, texts.T("nothing is known about %s", pairsOf(res.UnknownOther.Pairs)))
	case res.Open.Pairs > 0 && res.Action == tasks.Add:
		return exitWith(exitError, texts.Count(res.Open.Pairs, "%d pair is not held", "%d pairs are not held"))
	case res.Open.Pairs > 0:
		return exitWith(exitError, texts.Count(res.Open.Pairs, "%d pair is still held", "%d pairs are still held"))
	case res.Dead.Pairs+res.UnknownDead.Pairs > 0:
		return &exit{code: exitDeadLetters}
	}
	return nil
}
