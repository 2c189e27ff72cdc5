package main

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/producer"
)

func (a *app) jobsApproveCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "approve JOB",
		Short: "Let a job begin that waits for approval",
		Long: `approve lets a job begin that the HTTP intake keeps back because its source submitted more users in 24 hours than
UNROLE_MAX_USERS_PER_DAY. Look at it first: unrole jobs report JOB lists its pairs. One that is not meant is cancelled
with unrole jobs cancel JOB.`,
		Args: exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			job, err := r.ledger.Approve(ctx, args[0], a.whoami(), why)
			if err != nil {
				return err
			}
			client := asynq.NewClientFromRedisClient(r.rdb)
			if _, err := producer.Repair(ctx, r.ledger, r.rdb, client, job); err != nil {
				return fmt.Errorf("%w\nthe job is approved; a worker enqueues its parts within minutes, unrole jobs repair %s at once", err, job.JobID)
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
