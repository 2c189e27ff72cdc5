package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
)

func (a *app) jobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Look at jobs, follow them, report on them, cancel them",
		Long: `jobs shows what became of everything that was submitted. A job is kept for UNROLE_RETENTION after its end, longer while
it has dead letters; its audit trail is kept for good.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.jobsListCommand(), a.jobsShowCommand(), a.jobsWatchCommand(), a.jobsReportCommand(), a.jobsAuditCommand(),
		a.jobsCancelCommand(), a.jobsRepairCommand(), a.jobsApproveCommand())
	return cmd
}

// records is what the commands on jobs work with.
type records struct {
	config *config.Config
	rdb    redis.UniversalClient
	ledger *ledger.Ledger
}

// withRecords connects to Redis for one command.
func (a *app) withRecords(do func(ctx context.Context, cmd *cobra.Command, r *records, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.loadConfig(cmd)
		if err != nil {
			return err
		}
		rdb, err := openRedis(cmd.Context(), c, a.logger(c))
		if err != nil {
			return err
		}
		defer rdb.Close()
		return do(cmd.Context(), cmd, &records{c, rdb, ledger.New(rdb, c.Retention)}, args)
	}
}

type jobFilter struct {
	states  []string
	sources []string
}

func (f *jobFilter) check(cmd *cobra.Command) error {
	for _, s := range f.states {
		if !slices.Contains(ledger.States(), ledger.State(s)) {
			return usageError(cmd, fmt.Errorf("--state %q is not one of %s", s, strings.Join(texts(ledger.States()), ", ")))
		}
	}
	return nil
}

func (f *jobFilter) matches(j ledger.Job) bool {
	return (len(f.states) == 0 || slices.Contains(f.states, string(j.State))) &&
		(len(f.sources) == 0 || slices.Contains(f.sources, j.Source))
}

func (a *app) jobsListCommand() *cobra.Command {
	var filter jobFilter
	var page pageFlags
	list := a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, _ []string) error {
		if a.output == outputJSON {
			return a.listJobsJSON(ctx, r.ledger, filter)
		}
		return a.listJobs(ctx, r.ledger, filter, page)
	})
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List jobs, the most recent first",
		Long:  `list shows jobs, the most recent first. Text output is paged by --limit and --offset; JSON output is whole, one job a line.`,
		Example: `  unrole jobs list --state running,scheduled
  unrole jobs list --source hr --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := filter.check(cmd); err != nil {
				return err
			}
			if err := page.check(cmd, a); err != nil {
				return err
			}
			return list(cmd, args)
		},
	}
	cmd.Flags().StringSliceVar(&filter.states, "state", nil, "only jobs in these states")
	cmd.Flags().StringSliceVar(&filter.sources, "source", nil, "only jobs of these sources")
	page.add(cmd, "jobs", 20)
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

func (a *app) listJobsJSON(ctx context.Context, l *ledger.Ledger, filter jobFilter) error {
	for job, err := range l.All(ctx) {
		if err != nil {
			return err
		}
		if filter.matches(job) {
			if err := a.printJSON(job); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) listJobs(ctx context.Context, l *ledger.Ledger, filter jobFilter, page pageFlags) error {
	t := newTable("job", "state", "created", "source", "pairs", "removed", "dead", "cancelled", "pending", "reason")
	matched := 0
	for job, err := range l.All(ctx) {
		if err != nil {
			return err
		}
		if !filter.matches(job) {
			continue
		}
		if matched++; matched <= page.offset || matched > page.offset+page.limit {
			continue
		}
		p := job.Pairs
		t.row(job.JobID, stateWords(job.State), localTime(job.CreatedAt), job.Source, thousands(int(p.Total)), thousands(int(p.Removed)),
			thousands(int(p.Dead)), thousands(int(p.Cancelled)), thousands(int(p.Pending)), words.Clip(job.Reason, 40))
	}
	if matched == 0 {
		fmt.Fprintln(a.stderr, "no jobs")
		return nil
	}
	if matched > page.offset {
		if err := t.print(a.stdout); err != nil {
			return err
		}
	}
	if rest := matched - page.offset - page.limit; rest > 0 {
		fmt.Fprintf(a.stderr, "%s more: --offset %d shows the next\n", thousands(rest), page.offset+page.limit)
	}
	return nil
}

func localTime(t time.Time) string { return t.Local().Format(time.DateTime) }

func (a *app) jobsShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show JOB",
		Short:   "Show one job: who asked for what and why, and what came of it",
		Example: `  unrole jobs show 20261231-180000-k3x9q2ab`,
		Args:    exactArgs("JOB"),
		RunE: a.withRecords(func(ctx context.Context, _ *cobra.Command, r *records, args []string) error {
			job, err := r.ledger.Get(ctx, args[0])
			if err != nil {
				return err
			}
			return a.showJob(ctx, r.ledger, job)
		}),
	}
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

// showJob prints what printJob does, with who asked for what, when and why above it.
func (a *app) showJob(ctx context.Context, l *ledger.Ledger, job ledger.Job) error {
	if a.output == outputJSON {
		return a.printJSON(job)
	}
	t := newTable()
	say := func(name, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	say("submitted by", job.SubmittedBy)
	say("source", job.Source)
	say("reason", job.Reason)
	say("priority", job.Priority)
	say("created", localTime(job.CreatedAt))
	if job.At != nil {
		say("to begin", localTime(*job.At))
	}
	if job.FinishedAt != nil {
		say("finished", localTime(*job.FinishedAt))
	}
	if job.CancelledAt != nil {
		say("cancelled", localTime(*job.CancelledAt)+" by "+job.CancelledBy)
		say("because", job.CancelReason)
	}
	if job.Users > 0 {
		say("asked for", fmt.Sprintf("%s: %s, %s", counted(int(job.Pairs.Total), "pair", "pairs"), counted(int(job.Users), "user", "users"),
			counted(int(job.Roles), "role", "roles")))
	}
	v, verified, err := l.Verification(ctx, job.JobID)
	if err != nil {
		return err
	}
	if verified {
		say("verified", localTime(v.At)+": "+verificationWords(v))
	}
	if err := t.print(a.stdout); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.printJob(ctx, l, job, 0)
}

func verificationWords(v ledger.Verification) string {
	return fmt.Sprintf("%s gone, %s still held, %s unknown", thousands(int(v.Gone)), thousands(int(v.StillHeld)), thousands(int(v.Unknown)))
}
