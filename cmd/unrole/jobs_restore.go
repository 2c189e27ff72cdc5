package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/tasks"
)

func (a *app) jobsRestoreCommand() *cobra.Command {
	var wish restore.Wish
	var roles []int64
	var s enqueue.Submission
	var yes bool
	submit := a.withRecords(func(ctx context.Context, cmd *cobra.Command, r *records, args []string) error {
		wish.JobID, wish.Roles, wish.As = args[0], roles, s.JobID
		again, err := restore.Submitted(ctx, r.ledger, wish)
		var taken *restore.TakenError
		switch {
		case errors.As(err, &taken):
			return exitWith(exitJobTaken, err)
		case err != nil:
			return err
		case again != nil:
			a.note(texts.T("job %s was submitted before, with the same content", again.JobID))
			if err := a.printJob(ctx, r.ledger, *again, 0); err != nil {
				return err
			}
			return a.sayWhatIsNext(ctx, r.rdb, *again)
		}
		plan, err := restore.Of(ctx, r.ledger, wish)
		var unseen *restore.NoSnapshotError
		if errors.As(err, &unseen) {
			return exitWith(exitUsage, texts.T("%v\n--from-removed gives back what DingTalk said it removed: also roles that somebody did not hold", err))
		}
		if err != nil {
			return err
		}
		if err := checkProtected(r.config, plan.Removals); err != nil {
			return err
		}
		a.notePlan(plan)
		if err := a.confirmedPlan(ctx, plan, yes); err != nil {
			return err
		}
		if s.JobID == "" {
			s.JobID = tasks.NewJobID(a.now())
		}
		s.Source, s.Priority, s.SubmittedBy, s.MaxUsers = plan.Job.Source, plan.Job.Priority, a.whoami(), -1
		s = plan.Submission(s)
		if err := a.whetherItWaits(ctx, r.ledger, r.config, &s); err != nil {
			return err
		}
		a.note(texts.T("job %s", s.JobID))
		client, err := enqueue.NewClient(enqueue.Config{Redis: r.rdb, Retention: r.config.Retention})
		if err != nil {
			return err
		}
		with := parts(r.rdb, a.logger(r.config))
		stopTracing, err := a.trace(&with)
		if err != nil {
			return err
		}
		defer stopTracing()
		submitting, span := with.Trace.Command(ctx, "jobs restore")
		submitted, err := client.Submit(submitting, s)
		span.End(err != nil)
		if err != nil {
			if _, refused := redisconn.Explain(err); refused {
				return texts.T("%v\nunrole jobs repair %s completes it", err, s.JobID)
			}
			return err
		}
		if err := a.printJob(ctx, r.ledger, submitted.Job, 0); err != nil {
			return err
		}
		return a.sayWhatIsNext(ctx, r.rdb, submitted.Job)
	})
	cmd := &cobra.Command{
		Use:   "restore JOB",
		Short: "Give back what a job took",
		Long: `restore gives back exactly what a job really removed, with the management scopes that were held before, as a job of its own.
What was not removed, a dead letter or a cancelled pair, is left alone. So is what a later job removed again (--even-later
gives it back all the same), and what was given back already. A removal of the same pairs that is submitted after the
restore waits for its end, and the other way round: the last word holds.

A job that was submitted without a preflight has no snapshot of who held the roles before. --from-removed gives back what
DingTalk said it removed, which may be more.`,
		Example: `  unrole jobs restore 20261231-180000-k3x9q2ab --why "wrong list, HR-1234"
  unrole jobs restore 20261231-180000-k3x9q2ab --user manager4220`,
		Args: exactArgs("JOB"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.Reason = strings.TrimSpace(s.Reason)
			return submit(cmd, args)
		},
	}
	cmd.Flags().StringSliceVar(&wish.Users, "user", nil, "give back the roles of these users only")
	cmd.Flags().Int64SliceVar(&roles, "role", nil, "give back these roles only")
	cmd.Flags().StringVar(&s.Reason, "why", "", "why, for the records")
	cmd.Flags().StringVar(&s.JobID, "job-id", "", "name of the restore's job (generated unless given)")
	cmd.Flags().BoolVar(&wish.FromRemoved, "from-removed", false, "without a snapshot: give back what DingTalk said it removed")
	cmd.Flags().BoolVar(&wish.EvenLater, "even-later", false, "give back also what a later job removed again")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask for a confirmation")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_APPROVE_ABOVE", "UNROLE_MAX_USERS_PER_DAY", "UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES")
	return cmd
}

// confirmedPlan lets a restore through that somebody said yes to, with yes or on the terminal, or that the guard lets through.
func (a *app) confirmedPlan(ctx context.Context, p *restore.Plan, yes bool) error {
	guard := enqueue.Guard(p.Removals, defaultMaxUsers)
	switch {
	case yes:
	case a.isTerminal(a.stdin) && a.isTerminal(a.stderr):
		return a.confirmed(ctx, texts.T("Go on?"))
	case guard != nil:
		return exitWith(exitGuard, texts.T("%v: repeat with --yes", guard))
	}
	return nil
}

// notePlan says what would be given back, and what would not.
func (a *app) notePlan(p *restore.Plan) {
	r := p.Removals
	a.note(texts.T("%s of %s and %s will be given back, in %s", pairsOf(r.Pairs()), usersOf(len(r.Users())), rolesOf(len(r.Roles())), callsFor(p.Calls())))
	if p.Unseen {
		a.note(texts.T("nobody looked who held these roles before: some of them may be given to people who did not"))
	}
	for i, l := range p.Later {
		if i == mostRefused {
			a.note(texts.T("and %d more", len(p.Later)-i))
			break
		}
		a.note(texts.T("not given back: %s/%s, which job %s removed later (--even-later)", l.UserID, strconv.FormatInt(l.RoleID, 10), l.JobID))
	}
	for _, w := range p.TooWide {
		a.note(texts.T("not given back: %s/%s, whose management scope has %d departments, more than DingTalk takes", w.UserID, strconv.FormatInt(w.RoleID, 10), len(w.Departments)))
	}
	if p.Back > 0 {
		a.note(texts.T("%s given back before, or being given back", pairsOf(p.Back)))
	}
	if p.Kept > 0 {
		a.note(texts.T("%s that the job did not take", pairsOf(p.Kept)))
	}
}
