package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/unrole/unrole/enqueue"
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
			return s, usageError(cmd, errors.New("--job-id is empty"))
		}
		s.JobID = tasks.NewJobID(a.now())
	}
	if err := tasks.ValidateJobID(s.JobID); err != nil {
		return s, usageError(cmd, fmt.Errorf("--job-id: %w", err))
	}
	if !tasks.IsLane(s.Lane) {
		return s, usageError(cmd, fmt.Errorf("--priority %q is not one of %s", s.Lane, strings.Join(tasks.Lanes(), ", ")))
	}
	if f.maxUsers < 0 {
		return s, usageError(cmd, fmt.Errorf("--max-users %d is negative", f.maxUsers))
	}
	if f.at != "" {
		at, err := time.Parse(time.RFC3339, f.at)
		if err != nil {
			return s, usageError(cmd, fmt.Errorf("--at %q is not a time with offset such as 2026-12-31T18:00:00+08:00", f.at))
		}
		s.At = at
	}
	return s, nil
}

// of is the submission of the removals, which the guard has let through.
func (s submission) of(a *app, removals *enqueue.Removals) enqueue.Submission {
	return enqueue.Submission{Removals: removals, JobID: s.JobID, Source: s.Source, Reason: s.Reason, Priority: s.Lane, At: s.At,
		SubmittedBy: a.whoami(), MaxUsers: -1}
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

// guard lets removals of at most --max-users users through, and more after --yes or a confirmation on a terminal.
// canAsk is false where stdin is the input. Everything else ends with exitGuard.
func (f *submissionFlags) guard(a *app, removals *enqueue.Removals, canAsk bool) error {
	err := enqueue.Guard(removals, f.maxUsers)
	if err == nil || f.yes {
		return nil
	}
	if !canAsk || !a.isTerminal(a.stdin) || !a.isTerminal(a.stderr) {
		return exitf(exitGuard, "%w: check the input with unrole plan, then repeat with --yes or a higher --max-users", err)
	}
	fmt.Fprintf(a.stderr, "%v.\n", err)
	question := fmt.Sprintf("Remove %s from %s?", counted(len(removals.Roles()), "role", "roles"), counted(len(removals.Users()), "user", "users"))
	if !a.confirm(question) {
		return exitf(exitGuard, "not confirmed")
	}
	return nil
}

// confirm asks a question on the terminal; everything but yes is no.
func (a *app) confirm(question string) bool {
	fmt.Fprintf(a.stderr, "%s Type yes to go on: ", question)
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil {
		fmt.Fprintln(a.stderr)
	}
	return strings.EqualFold(strings.TrimSpace(answer), "yes")
}

// request is a removal that may be submitted: flags, configuration and input are checked, the guard is passed.
type request struct {
	submission
	config   *config.Config
	removals *enqueue.Removals
	// plan is that of --plan; nil where it is still to be made.
	plan []tasks.Part
}

// request takes what run and enqueue have in common up to the moment before something is sent.
func (a *app) request(cmd *cobra.Command, args []string, in *inputFlags, sub *submissionFlags) (*request, error) {
	s, err := sub.parse(cmd, a)
	if err != nil {
		return nil, err
	}
	c, err := a.loadConfig(cmd)
	if err != nil {
		return nil, err
	}
	removals, plan, err := in.readOrPlan(cmd, a, args, s.JobID)
	if err != nil {
		return nil, err
	}
	if err := checkProtected(c, removals); err != nil {
		return nil, err
	}
	if err := sub.guard(a, removals, !in.readsStdin(args)); err != nil {
		return nil, err
	}
	return &request{s, c, removals, plan}, nil
}
