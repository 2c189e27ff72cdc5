package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

func (a *app) jobsWatchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "watch JOB",
		Short: "Follow a job to its end; the exit code tells how it ended",
		Long: `watch shows how far a job is until it has ended, from any terminal. The exit code is 0 when every pair was removed, 3 when
there are dead letters, 7 when it was cancelled, and 4 as soon as the fleet holds: the job then waits for somebody to mend
what is named, and goes on by itself.`,
		Args: exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			job, err := r.ledger.Get(ctx, args[0])
			if err != nil {
				return err
			}
			newPacer := engine.NewPacer
			if job.Action == tasks.Add {
				newPacer = engine.NewAddingPacer
			}
			pacer, err := newPacer(r.config, parts(r.rdb, zerolog.Nop()))
			if err != nil {
				return err
			}
			return a.wait(ctx, r.ledger, pacer, args[0], nil)
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_APP_KEY")
	return cmd
}

func (a *app) jobsCancelCommand() *cobra.Command {
	var why string
	var yes bool
	cancel := a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
		before, err := r.ledger.Get(ctx, args[0])
		if err != nil {
			return err
		}
		if !yes && !before.State.Finished() && a.isTerminal(a.stdin) && a.isTerminal(a.stderr) {
			if err := a.confirmed(ctx, texts.T("Cancel job %s with %s pending?", before.JobID, pairsOf(before.Pairs.Pending))); err != nil {
				return err
			}
		}
		job, err := r.ledger.Cancel(ctx, args[0], a.whoami(), why)
		var finished *ledger.FinishedError
		if errors.As(err, &finished) {
			return err
		}
		if err != nil {
			return texts.T("%v\nthe same command again completes the cancel", err)
		}
		return a.printCancelled(ctx, r.ledger, before, job)
	})
	cmd := &cobra.Command{
		Use:   "cancel JOB --why REASON",
		Short: "Cancel what a job has not begun",
		Long: `cancel settles at once every pair whose call has not begun: it will never be removed by this job. Calls in flight end
normally, and what they removed counts as removed. A cancel cannot be taken back; submit the pairs again as a new job.`,
		Example: `  unrole jobs cancel 20261231-180000-k3x9q2ab --why "wrong list, HR-1234"`,
		Args:    exactArgs("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if why = strings.TrimSpace(why); why == "" {
				return usageError(cmd, texts.T("--why is missing: say why the job is cancelled, for the records"))
			}
			return cancel(cmd, args)
		},
	}
	cmd.Flags().StringVar(&why, "why", "", "why, for the records (required)")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for a confirmation")
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// printCancelled says what the cancel did: the job's summary, and on stderr what it changed.
func (a *app) printCancelled(ctx context.Context, l *ledger.Ledger, before, job ledger.Job) error {
	a.note(texts.T("%s cancelled, %d removed before", pairsOf(job.Pairs.Cancelled-before.Pairs.Cancelled), job.Pairs.Removed))
	if job.Pairs.Pending > 0 {
		a.note(texts.T("%s in flight or still to be taken back, unrole jobs watch %s shows their end", pairsOf(job.Pairs.Pending), job.JobID))
	}
	return a.printJob(ctx, l, job, 0)
}

func (a *app) jobsRepairCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repair JOB",
		Short: "Enqueue the parts of a job again that have open pairs and no task",
		Long: `repair completes a submission that was interrupted, and brings tasks back that were deleted from the queue. Workers do the
same by themselves after a minute or two. Doing it for nothing does no harm.`,
		Args: exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			job, err := r.ledger.Get(ctx, args[0])
			if err != nil {
				return err
			}
			parts := 0
			if !job.State.Finished() {
				began := time.Now()
				client := asynq.NewClientFromRedisClient(r.rdb)
				if parts, err = producer.Repair(ctx, r.ledger, r.rdb, client, job); err != nil {
					return err
				}
				if job, err = r.ledger.Get(ctx, args[0]); err != nil {
					return err
				}
				a.note(texts.T("%s enqueued again in %s", texts.Count(parts, "%d part", "%d parts"), duration(time.Since(began).Seconds())))
			} else {
				a.note(texts.T("job %s has ended: nothing to repair", job.JobID))
			}
			if a.output == outputJSON {
				return a.printJSON(struct {
					ledger.Job
					Repaired int `json:"repaired_parts"`
				}{job, parts})
			}
			return a.printJob(ctx, r.ledger, job, 0)
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

func (a *app) jobsApproveCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "approve JOB",
		Short: "Let a job begin that waits for approval",
		Long: `approve lets a job begin that is kept back: because its source submitted more users in 24 hours than
UNROLE_MAX_USERS_PER_DAY, or because it concerns more than UNROLE_APPROVE_ABOVE; then another person than its submitter has to. Look at it first: unrole jobs report JOB lists its pairs. One that is not meant is cancelled
with unrole jobs cancel JOB.`,
		Args: exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			job, err := r.ledger.Approve(ctx, args[0], a.whoami(), why)
			if err != nil {
				return err
			}
			client := asynq.NewClientFromRedisClient(r.rdb)
			if _, err := producer.Repair(ctx, r.ledger, r.rdb, client, job); err != nil {
				return texts.T("%v\nthe job is approved; a worker enqueues its parts within minutes, unrole jobs repair %s at once", err, job.JobID)
			}
			if job, err = r.ledger.Get(ctx, args[0]); err != nil {
				return err
			}
			return a.printJob(ctx, r.ledger, job, 0)
		}),
	}
	cmd.Flags().StringVar(&why, "why", "", "why, for the records")
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}
