package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/out/verify"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
)

func (a *app) verifyCommand() *cobra.Command {
	var reportFile string
	cmd := &cobra.Command{
		Use:   "verify JOB",
		Short: "Ask DingTalk who still holds the roles of a job",
		Long: `verify changes nothing: it reads from DingTalk who holds each role of the job, at the pace of the fleet, and says of every
requested pair whether it is gone, still held, or unknown. The answers stay with the job; its reports carry them.

The exit code is 0 when every pair is gone, 3 when only dead letters are still held, 4 when DingTalk would not answer
(a permission, credentials, a hold), and 1 when anything else is still held or unknown.`,
		Example: `  unrole verify 20261231-180000-k3x9q2ab --report verified.csv`,
		Args:    exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			if err := r.config.NeedCredentials(); err != nil {
				return exitWith(exitCredentials, err)
			}
			return a.verify(ctx, r, args[0], reportFile)
		}),
	}
	cmd.Flags().StringVar(&reportFile, "report", "", "write what became of each pair, with a column verified, to this CSV file")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS")
	return cmd
}

func (a *app) verify(ctx context.Context, r *records, jobID, reportFile string) error {
	c := r.config
	job, err := r.ledger.Get(ctx, jobID)
	if err != nil {
		return err
	}
	if !job.State.Finished() {
		fmt.Fprintf(a.stderr, "job %s is %s: what is pending is still held, most likely\n", jobID, job.State)
	}
	with := parts(r.rdb, a.logger(c))
	pacer, err := engine.NewPacer(c, with)
	if err != nil {
		return err
	}
	client, err := engine.NewClient(c, with, pacer, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	pacing, stopPacing := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { pacer.Run(pacing) })
	defer background.Wait()
	defer stopPacing()

	var bar *progress
	res, err := verify.Job(ctx, verify.Config{Directory: client, Pacer: pacer, Ledger: r.ledger, By: a.whoami(),
		Progress: func(done, total int) {
			if bar == nil {
				bar = a.newProgress(total, "roles")
			}
			bar.set(done)
		}}, jobID)
	bar.done()
	if err != nil {
		return err
	}
	if err := a.printVerification(jobID, res); err != nil {
		return err
	}
	if reportFile != "" {
		err := a.writeReport("--report", reportFile, func(w io.Writer) error { return report.CSV(ctx, r.ledger, jobID, w) })
		if err != nil {
			return err
		}
	}
	return endOfVerification(res)
}

func (a *app) printVerification(jobID string, res verify.Result) error {
	if a.output == outputJSON {
		return a.printJSON(struct {
			JobID string `json:"job_id"`
			ledger.Verification
			HeldAlthoughRemoved int64 `json:"still_held_although_removed"`
		}{jobID, res.Verification, res.HeldAlthoughRemoved})
	}
	t := newTable()
	t.row("job", jobID)
	t.row("gone", counted(int(res.Gone), "pair", "pairs"))
	t.row("still held", counted(int(res.StillHeld), "pair", "pairs"))
	t.row("unknown", counted(int(res.Unknown), "pair", "pairs"))
	if res.Why != "" {
		t.row("because", res.Why)
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	if len(res.Held) == 0 {
		return nil
	}
	fmt.Fprintf(a.stdout, "\nstill held, although DingTalk said they were removed\n")
	held := newTable()
	for _, row := range res.Held {
		held.row("  user "+row.UserID, fmt.Sprintf("role %d", row.RoleID), "request "+row.Outcome.RequestID)
	}
	if err := held.print(a.stdout); err != nil {
		return err
	}
	if more := int(res.HeldAlthoughRemoved) - len(res.Held); more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more\n", thousands(more))
	}
	return nil
}

// endOfVerification turns what was found into an exit code.
func endOfVerification(res verify.Result) error {
	switch {
	case res.HeldAlthoughRemoved > 0:
		return exitf(exitError, "%s still held although DingTalk said they were removed", counted(int(res.HeldAlthoughRemoved), "pair is", "pairs are"))
	case res.Denied:
		return exitf(exitCredentials, "DingTalk was not asked about everything: %s", res.Why)
	case res.Unknown > 0:
		return exitf(exitError, "nothing is known about %s", counted(int(res.Unknown), "pair", "pairs"))
	case res.StillHeld == 0:
		return nil
	case res.StillHeld == res.HeldDead:
		return &exit{code: exitDeadLetters}
	default:
		return exitf(exitError, "%s still held", counted(int(res.StillHeld), "pair is", "pairs are"))
	}
}
