package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
)

func (a *app) jobsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Look at jobs, follow them, report on them, cancel them",
		Long: `jobs shows what became of everything that was submitted. A job is kept for UNROLE_RETENTION after its end, longer while
it has dead letters; its audit trail longer (docs/jobs.md).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.jobsListCommand(), a.jobsEraseCommand())
	for _, about := range []*cobra.Command{a.jobsShowCommand(), a.jobsWatchCommand(), a.jobsReportCommand(), a.jobsAuditCommand(),
		a.jobsCancelCommand(), a.jobsRestoreCommand(), a.jobsRepairCommand(), a.jobsApproveCommand()} {
		cmd.AddCommand(a.withJobs(about))
	}
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
		// What is only worth a warning says doctor, and whoever submits: not every list of jobs.
		rdb, err := openRedis(cmd.Context(), c, a.logger(c).Level(zerolog.ErrorLevel))
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
	users   []string
}

func (f *jobFilter) check(cmd *cobra.Command) error {
	for _, s := range f.states {
		if !slices.Contains(ledger.States(), ledger.State(s)) {
			return usageError(cmd, texts.T("%s %q is not one of %s", "--state", s, strings.Join(named(ledger.States()), ", ")))
		}
	}
	return nil
}

// each visits the jobs that match, the most recent first.
func (f *jobFilter) each(ctx context.Context, l *ledger.Ledger, visit func(ledger.Job) error) error {
	filter := ledger.Filter{Sources: f.sources, UserIDs: f.users}
	for _, s := range f.states {
		filter.States = append(filter.States, ledger.State(s))
	}
	for look, err := range l.Find(ctx, filter, "") {
		if err != nil {
			return err
		}
		if !look.Found {
			continue
		}
		if err := visit(look.Job); err != nil {
			return err
		}
	}
	return nil
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
  unrole jobs list --user manager4220
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
	cmd.Flags().StringSliceVar(&filter.users, "user", nil, "only jobs that were to take roles from one of these user ids")
	complete(cmd, "state", named(ledger.States()))
	page.add(cmd, "jobs", 20)
	addConfigFlags(cmd.Flags(), "REDIS_URL")
	return cmd
}

func (a *app) listJobsJSON(ctx context.Context, l *ledger.Ledger, filter jobFilter) error {
	return filter.each(ctx, l, func(job ledger.Job) error { return a.printJSON(job) })
}

// stateInList is the state of a job in few words, with how many of its pairs are not removed.
func (a *app) stateInList(job ledger.Job) cell {
	p := job.Pairs
	switch job.State {
	case ledger.StateCompletedWithDeadLetter:
		return a.coloured(text.FgRed, texts.Count(p.Dead, "%d not removed", "%d not removed"))
	case ledger.StateRunning:
		return a.coloured(0, texts.T("running, %d left", p.Pending))
	}
	return a.stateOf(job.State)
}

// doneOf is how much of a job has taken effect.
func doneOf(p ledger.Pairs) texts.Text {
	if p.Restored > 0 {
		return texts.T("gave back %d of %d", p.Restored, p.Total)
	}
	return texts.T("%d of %d", p.Removed, p.Total)
}

// why is who asked for a job, and why, as far as that was said.
func (a *app) why(job ledger.Job) string {
	reason := words.Clip(job.Reason, 40)
	if job.Source == "" || reason == "" {
		return job.Source + reason
	}
	return texts.T("%s: %s", job.Source, reason).In(a.lang)
}

func (a *app) listJobs(ctx context.Context, l *ledger.Ledger, filter jobFilter, page pageFlags) error {
	t := a.newTable(texts.T("job"), texts.T("created"), texts.T("state"), texts.T("removed"), texts.T("why"))
	matched := 0
	errFull := errors.New("the page is full")
	err := filter.each(ctx, l, func(job ledger.Job) error {
		if matched++; matched <= page.offset {
			return nil
		}
		if matched > page.offset+page.limit {
			return errFull
		}
		t.row(job.JobID, job.CreatedAt.Local().Format("01-02 15:04"), a.stateInList(job), doneOf(job.Pairs),
			a.why(job))
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return err
	}
	if matched == 0 {
		a.note(texts.T("no jobs"))
		return nil
	}
	if matched > page.offset {
		if err := t.print(); err != nil {
			return err
		}
	}
	if err == nil {
		return nil
	}
	next := strconv.Itoa(page.offset + page.limit)
	if len(filter.states)+len(filter.sources)+len(filter.users) > 0 {
		a.note(texts.T("there are more: --offset %s shows the next", next)) // how many, only reading them would tell
		return nil
	}
	all, err := l.Count(ctx)
	if err == nil {
		a.note(texts.T("%d more: --offset %s shows the next", all-page.offset-page.limit, next))
	}
	return err
}

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
	t := a.newTable()
	say := func(name texts.Text, value string) {
		if value != "" {
			t.row(name, value)
		}
	}
	say(texts.T("submitted by"), job.SubmittedBy)
	say(texts.T("source"), job.Source)
	say(texts.T("reason"), job.Reason)
	say(texts.T("priority"), job.Priority)
	say(texts.T("created"), moment(job.CreatedAt))
	if job.At != nil {
		say(texts.T("to begin"), moment(*job.At))
	}
	if job.FinishedAt != nil {
		say(texts.T("finished"), moment(*job.FinishedAt))
	}
	if job.CancelledAt != nil {
		t.row(texts.T("cancelled"), texts.T("%s by %s", moment(*job.CancelledAt), job.CancelledBy))
		say(texts.T("because"), job.CancelReason)
	}
	if job.Users > 0 {
		t.row(texts.T("asked for"), texts.T("%s: %s, %s", pairsOf(job.Pairs.Total), usersOf(job.Users), rolesOf(job.Roles)))
	}
	v, verified, err := l.Verification(ctx, job.JobID)
	if err != nil {
		return err
	}
	if verified {
		t.row(texts.T("verified"), texts.T("%s: %s", moment(v.At), v))
	}
	if err := t.print(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return a.printJob(ctx, l, job, 0)
}
