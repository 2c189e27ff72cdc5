package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/verify"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/tasks"
)

func (a *app) enqueueCommand() *cobra.Command {
	var in inputFlags
	var sub submissionFlags
	var opt submitOptions
	var reportFile string
	cmd := &cobra.Command{
		Use:   "enqueue FILE",
		Short: "Submit removals for the workers",
		Long: `enqueue reads and checks removals, plans the fewest calls and hands them to the workers through Redis. The same command
with the same --job-id completes a submission that was interrupted, and doubles nothing.

` + inputHelp,
		Example: `  unrole enqueue leavers.csv --source hr --reason "left in December" --wait
  unrole enqueue --user manager4220 --role 1507113578 --priority urgent`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case opt.verify && !opt.wait:
				return usageError(cmd, texts.T("--verify goes with --wait"))
			case reportFile != "" && !opt.wait:
				return usageError(cmd, texts.T("--report goes with --wait; unrole jobs report writes it later"))
			}
			var err error
			if opt.report, err = a.newReportTarget("--report", reportFile, fileOf(args)); err != nil {
				return err
			}
			if opt.report != nil {
				defer opt.report.discard()
				in.forReport()
			}
			req, err := a.request(cmd, args, &in, &sub, workersOn, looker())
			if err != nil {
				return err
			}
			if opt.verify {
				if err := req.config.NeedCredentials(); err != nil {
					return exitWith(exitCredentials, err)
				}
			}
			client, err := openRedis(cmd.Context(), req.config, a.logger(req.config))
			if err != nil {
				return err
			}
			defer client.Close()
			opt.list = in.listed(a.lang)
			return a.submit(cmd.Context(), req, client, opt)
		},
	}
	in.add(cmd)
	cmd.Flags().StringVar(&in.plan, "plan", "", "submit this plan of unrole plan --save, instead of FILE")
	sub.add(cmd.Flags())
	complete(cmd, "priority", tasks.Lanes())
	cmd.Flags().BoolVar(&opt.wait, "wait", false, "stay until the job has ended; the exit code then tells how")
	cmd.Flags().StringVar(&reportFile, "report", "", "with --wait: write what became of each pair to this file: .csv, .xlsx, .html or .json")
	addVerifyFlag(cmd, &opt.verify)
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES", "UNROLE_MAX_USERS_PER_DAY", "UNROLE_APPROVE_ABOVE")
	in.look.need(cmd.Flags())
	return cmd
}

// workersOn names whoever will remove what enqueue submits. Which app they are is theirs to say.
func workersOn(c *config.Config) (texts.Text, error) {
	target, err := redisconn.Parse(c.RedisURL)
	if err != nil {
		return texts.Text{}, exitWith(exitUsage, err)
	}
	by := texts.T("by the workers on %s", target.String())
	if c.DingTalk.AppKey == "" {
		return by, nil
	}
	return texts.T("%s: %s", by, texts.T("DingTalk %s, app %s", c.DingTalk.BaseURL, c.DingTalk.AppKey)), nil
}

// whetherItWaits decides whether the submission waits for somebody's approval, and says so.
func (a *app) whetherItWaits(ctx context.Context, l *ledger.Ledger, c *config.Config, s *enqueue.Submission) error {
	if s.Source != "" {
		wait, _, err := l.MustWait(ctx, s.JobID, s.Source, s.Removals.Users(), c.MaxUsersPerDay)
		if err != nil {
			return err
		}
		if s.AwaitApproval = wait; wait {
			a.note(texts.T("%s submits more than %d users in 24 hours: the job waits for unrole jobs approve %s", s.Source, c.MaxUsersPerDay, s.JobID))
		}
	}
	if above := c.ApproveAbove; above > 0 && len(s.Removals.Users()) > above {
		s.AwaitApproval, s.OtherApproves = true, true
		a.note(texts.T("more than %d users: the job waits until another person says unrole jobs approve %s", above, s.JobID))
	}
	return nil
}

// submitOptions say what follows a submission.
type submitOptions struct {
	wait   bool
	report *reportTarget // with wait; nil for none
	list   *listed
	verify bool // ask DingTalk afterwards, with wait
}

// submit hands the request to the workers.
func (a *app) submit(ctx context.Context, req *request, rdb redis.UniversalClient, opt submitOptions) error {
	with := parts(rdb, a.logger(req.config))
	stopTracing, err := a.trace(&with)
	if err != nil {
		return err
	}
	defer stopTracing()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb, Retention: req.config.Retention})
	if err != nil {
		return err
	}
	s := req.submission.of(a, req)
	s.Plan = req.plan
	l := ledger.New(rdb, req.config.Retention)
	if req.seen != nil {
		key := []byte(req.config.DingTalk.AppSecret)
		if len(key) == 0 {
			if key, err = l.NamingKey(ctx); err != nil {
				return err
			}
		}
		s.Asked = req.seen.Asking(key)
	}
	if err := a.whetherItWaits(ctx, l, req.config, &s); err != nil {
		return err
	}
	// The id is shown before anything is sent: whoever loses the connection can go on with it.
	a.note(texts.T("job %s", s.JobID))
	var bar *progress
	s.Progress = func(done, total int) {
		if bar == nil {
			bar = a.newProgress(total, texts.T("parts"))
		}
		bar.set(done)
	}
	submitting, span := with.Trace.Command(ctx, "enqueue")
	submitted, err := client.Submit(submitting, s)
	span.End(err != nil)
	bar.done()
	var taken *enqueue.ConflictError
	if errors.As(err, &taken) && req.seen != nil {
		// What the job has taken meanwhile is not held any more: what was asked for is what has to be the same.
		earlier, same, rerr := askedBefore(ctx, l, s, req.seen)
		if rerr != nil {
			return rerr
		}
		if same {
			submitted, err = client.Submit(submitting, earlier)
		}
	}
	switch {
	case errors.As(err, &taken):
		return exitWith(exitJobTaken, err)
	case err != nil:
		return texts.T("%v\nthe same command with --job-id %s completes the submission, and doubles nothing", err, s.JobID)
	case submitted.Existed:
		a.note(texts.T("job %s was submitted before, with the same content", s.JobID))
	}
	if !opt.wait {
		if err := a.printJob(ctx, l, submitted.Job, 0); err != nil {
			return err
		}
		return a.sayWhatIsNext(ctx, rdb, submitted.Job)
	}
	pacer, err := engine.NewPacer(req.config, parts(rdb, zerolog.Nop()))
	if err != nil {
		return err
	}
	var verified *verify.Result
	ended := a.wait(ctx, l, pacer, s.JobID, func(after context.Context) error {
		job, err := l.Get(after, s.JobID)
		if err == nil && opt.verify && job.State.Finished() {
			var res verify.Result
			if res, err = a.verifyEnded(ctx, req.config, parts(rdb, zerolog.Nop()), l, s.JobID); err == nil {
				verified = &res
			}
		}
		if err != nil || opt.report == nil {
			return err
		}
		return a.writeReport(after, opt.report, l, job, opt.list)
	})
	if verified == nil {
		return ended
	}
	if err := a.printVerification(s.JobID, *verified); err != nil || ended != nil {
		return cmp.Or(err, ended)
	}
	return endOfVerification(*verified)
}

// askedBefore returns the submission as it was when the job was submitted first, and whether the same was asked for then: by the same
// list, or for the same pairs, held or not.
func askedBefore(ctx context.Context, l *ledger.Ledger, s enqueue.Submission, seen *preflight.Result) (earlier enqueue.Submission, same bool, err error) {
	job, err := l.Get(ctx, s.JobID)
	if err != nil {
		return s, false, err
	}
	s.Removals, s.Plan = &enqueue.Removals{}, nil
	if s.Snapshot, err = l.Snapshot(ctx, s.JobID); err != nil || s.Snapshot == nil {
		return s, false, err
	}
	asked := &enqueue.Removals{}
	err = l.Rows(ctx, s.JobID, func(r ledger.Row) error {
		s.Removals.Add(r.UserID, r.RoleID)
		asked.Add(r.UserID, r.RoleID)
		return nil
	})
	for _, p := range s.Snapshot.NotHeld {
		asked.Add(p.UserID, p.RoleID)
	}
	return s, job.Asked == s.Asked || asked.Digest() == seen.Asked.Digest(), err
}

// sayWhatIsNext names the command that follows a job, and says where nothing will happen because no worker runs.
func (a *app) sayWhatIsNext(ctx context.Context, rdb redis.UniversalClient, job ledger.Job) error {
	if job.State.Finished() {
		return nil
	}
	workers, err := fleet.NewReader(rdb, ledger.New(rdb, 0)).Workers(ctx)
	if err != nil {
		return err
	}
	if len(workers) == 0 {
		a.note(texts.T("no worker runs: nothing is removed until one is started with unrole worker"))
	}
	a.note(texts.T("unrole jobs watch %s follows it", job.JobID))
	return nil
}

// wait follows a job to its end and tells by the exit code how it ended. Before it says so it calls before, if that is
// not nil, also where the wait ended early.
func (a *app) wait(ctx context.Context, l *ledger.Ledger, pacer *pace.Pacer, jobID string, before func(context.Context) error) error {
	job, err := a.follow(ctx, l, pacer, jobID, func(pace.Status) bool { return true })
	var failed error
	if before != nil {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		failed = before(after)
		cancel()
	}
	if failed != nil && err != nil {
		a.note(texts.T("%v", failed))
	}
	var held *errHeld
	switch {
	case errors.As(err, &held):
		return exitWith(exitCredentials, texts.T("%v\nthe job waits and goes on by itself once that is mended; unrole jobs watch %s follows it", held, jobID))
	case err != nil:
		if ctx.Err() != nil {
			a.note(texts.T("the job goes on; unrole jobs watch %s follows it", jobID))
		}
		return err
	}
	took := job.FinishedAt.Sub(job.CreatedAt)
	if err := a.printJob(ctx, l, job, took); err != nil {
		return errors.Join(failed, err)
	}
	if failed != nil {
		return failed
	}
	if code := codeOfJob(job); code != exitDone {
		return &exit{code: code}
	}
	return nil
}
