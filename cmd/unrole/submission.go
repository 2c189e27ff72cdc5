package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/tasks"
)

// defaultMaxUsers is the guard: more distinct users need a confirmation.
const defaultMaxUsers = enqueue.DefaultMaxUsers

// submissionFlags say how a removal is submitted.
type submissionFlags struct {
	jobID, source, reason string
	priority, at          string
	yes                   bool
	maxUsers              int
}

func (f *submissionFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.jobID, "job-id", "", "name of the job, to repeat a submission safely (generated unless given)")
	flags.StringVar(&f.source, "source", "", "which system asks for this, for the records")
	flags.StringVar(&f.reason, "reason", "", "why, for the records")
	flags.StringVar(&f.priority, "priority", tasks.QueueDefault, "lane: "+strings.Join(tasks.Lanes(), ", "))
	flags.StringVar(&f.at, "at", "", "when to begin, RFC 3339 with offset such as 2026-12-31T18:00:00+08:00 (now unless given)")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask for a confirmation")
	flags.IntVar(&f.maxUsers, "max-users", defaultMaxUsers, "guard: more distinct users than this need a confirmation or --yes")
}

// submission is what the flags ask for, checked.
type submission struct {
	JobID          string
	Source, Reason string
	Lane           string
	// At is when the job begins; zero for at once.
	At time.Time
}

// parse checks the flags; the job id is generated where none was given.
func (f *submissionFlags) parse(cmd *cobra.Command, a *app) (submission, error) {
	s := submission{JobID: f.jobID, Source: f.source, Reason: f.reason, Lane: f.priority}
	if s.JobID == "" {
		if cmd.Flags().Changed("job-id") {
			return s, usageError(cmd, texts.T("%s is empty", "--job-id"))
		}
		s.JobID = tasks.NewJobID(a.now())
	}
	if err := tasks.ValidateJobID(s.JobID); err != nil {
		return s, usageError(cmd, texts.T("%s: %v", "--job-id", err))
	}
	if !tasks.IsLane(s.Lane) {
		return s, usageError(cmd, texts.T("%s %q is not one of %s", "--priority", s.Lane, strings.Join(tasks.Lanes(), ", ")))
	}
	if f.maxUsers < 0 {
		return s, usageError(cmd, texts.T("--max-users %d is negative", f.maxUsers))
	}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return s, usageError(cmd, texts.T("--at %q is not a time with offset such as 2026-12-31T18:00:00+08:00", f.at))
		}
		s.At = at
	}
	return s, nil
}

// of is the submission of the request, which the guard has let through.
func (s submission) of(a *app, req *request) enqueue.Submission {
	sub := enqueue.Submission{Removals: req.removals, JobID: s.JobID, Source: s.Source, Reason: s.Reason, Priority: s.Lane, At: s.At,
		SubmittedBy: a.whoami(), MaxUsers: -1}
	sub.Snapshot = req.planSaw
	if req.seen != nil {
		sub.Snapshot = req.seen.Snapshot
	}
	if req.restore != nil {
		return req.restore.Submission(sub)
	}
	return sub
}

// whoami names the user and host for the audit.
func (a *app) whoami() string {
	name, host := a.getenv("USER"), ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = h
	}
	return name + "@" + host
}

// guard lets removals through that somebody said yes to: with --yes, or on the terminal, where it says what would be done
// and where. canAsk is false where stdin is the input. Without a terminal at most --max-users users pass; more end with
// exitGuard, and so does every answer but yes. large says that a role would lose too many of its holders.
func (f *submissionFlags) guard(ctx context.Context, a *app, removals *enqueue.Removals, where func() (texts.Text, error), canAsk, large bool) error {
	err := enqueue.Guard(removals, f.maxUsers)
	way := texts.T("repeat with --yes or a higher --max-users")
	if err == nil && large {
		err = texts.T("a role would lose more of its holders than UNROLE_MAX_SHARE lets through unconfirmed")
		way = texts.T("repeat with --yes")
	}
	switch {
	case f.yes:
		return nil
	case canAsk && a.isTerminal(a.stdin) && a.isTerminal(a.stderr):
	case err == nil:
		return nil
	default:
		return exitWith(exitGuard, texts.T("%v: check the input with unrole plan, then %s", err, way))
	}
	place, unable := where()
	if unable != nil {
		return unable
	}
	if err != nil {
		a.note(texts.T("%v.", err))
	}
	a.note(texts.T("%s of %s and %s will be removed, in %s", pairsOf(removals.Pairs()), usersOf(len(removals.Users())), rolesOf(len(removals.Roles())),
		callsFor(len(enqueue.PlanOf(removals, "plan")))))
	a.note(place)
	return a.confirmed(ctx, texts.T("Go on?"))
}

// confirmed asks a question on the terminal. Everything but y and yes ends with exitGuard, and Ctrl-C at once.
func (a *app) confirmed(ctx context.Context, question texts.Text) error {
	fmt.Fprint(a.stderr, question.In(a.lang)+" [y/N] ")
	answer := make(chan string, 1)
	// Reading ends with the process at the latest: nothing else reads stdin after a question.
	go func() {
		line, _ := bufio.NewReader(a.stdin).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return context.Cause(ctx)
	case line := <-answer:
		if !strings.HasSuffix(line, "\n") {
			fmt.Fprintln(a.stderr)
		}
		if said := strings.ToLower(strings.TrimSpace(line)); said == "y" || said == "yes" {
			return nil
		}
		return exitWith(exitGuard, texts.T("not confirmed"))
	}
}

// request is a removal that may be submitted: flags, configuration and input are checked, the guard is passed.
type request struct {
	submission
	config   *config.Config
	removals *enqueue.Removals
	// seen is what was seen in DingTalk, nil where nobody looked.
	seen *preflight.Result
	// plan is that of --plan; nil where it is still to be made.
	plan []tasks.Part
	// planSaw is what was seen when that plan was made; nil where nobody looked then.
	planSaw *enqueue.Snapshot
	// restore is what is given back, whose pairs are removals; nil where they are to be removed.
	restore *restore.Plan
}

// request takes what run and enqueue have in common up to the moment before something is sent.
// where says which DingTalk the removals would reach; nil where it is none, which needs no guard. with is over what people and
// roles are looked up.
func (a *app) request(cmd *cobra.Command, args []string, in *inputFlags, sub *submissionFlags, where func(*config.Config) (texts.Text, error), with engine.Parts) (*request, error) {
	s, err := sub.parse(cmd, a)
	if err != nil {
		return nil, err
	}
	c, err := a.loadConfig(cmd)
	if err != nil {
		return nil, err
	}
	if where == nil {
		asSimulated(c)
	}
	done, err := in.look.open(cmd, a, c, with)
	if err != nil {
		return nil, err
	}
	defer done()
	removals, plan, planSaw, err := in.readOrPlan(cmd, a, args, s.JobID)
	if err != nil {
		return nil, err
	}
	seen := in.look.seen
	if seen != nil && removals.Pairs() == 0 {
		// What was looked at and found not to be held is a job all the same: it has a record, and a report that says so.
		a.note(texts.T("nothing to do: none of these roles is held"))
		where = nil
	}
	if err := checkProtected(c, removals); err != nil {
		return nil, err
	}
	if where != nil {
		place := func() (texts.Text, error) { return where(c) }
		if err := sub.guard(cmd.Context(), a, removals, place, !in.readsStdin(args), seen != nil && len(seen.Shares) > 0); err != nil {
			return nil, err
		}
	}
	return &request{submission: s, config: c, removals: removals, seen: seen, plan: plan, planSaw: planSaw}, nil
}
