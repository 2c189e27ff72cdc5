package main

import (
	"cmp"
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/verify"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

func (a *app) runCommand() *cobra.Command {
	var in inputFlags
	var sub submissionFlags
	var simulate, verifyToo bool
	var reportFile string
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Remove roles now, in one process, without Redis",
		Long: `run does everything in one process: it reads and checks removals, plans the fewest calls and makes them. It needs no
Redis: its queue is in memory and ends with it. With --simulate it calls the built-in simulator instead of DingTalk.

` + inputHelp,
		Example: `  unrole run --simulate examples/leavers.csv
  unrole run leavers.csv --reason "left in December" --report removed.xlsx`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := a.newReportTarget("--report", reportFile, fileOf(args))
			if err != nil {
				return err
			}
			if out != nil {
				defer out.discard()
				in.forReport()
			}
			where := dingTalkOf
			if simulate {
				where = nil
			}
			with := looker()
			var sim *simulator.Simulator
			if simulate {
				if sim, err = a.simulated(cmd, fileOf(args)); err != nil {
					return err
				}
				with.Transport = sim.Transport()
			}
			req, err := a.request(cmd, args, &in, &sub, where, with)
			if err != nil {
				return err
			}
			if !simulate {
				if err := req.config.NeedCredentials(); err != nil {
					return exitWith(exitCredentials, err)
				}
			}
			return a.run(cmd.Context(), req, runOptions{simulator: sim, report: out, list: in.listed(a.lang), verify: verifyToo, quiet: !logLevelGiven(a, cmd)})
		},
	}
	in.add(cmd)
	sub.add(cmd.Flags())
	complete(cmd, "priority", tasks.Lanes())
	cmd.Flags().BoolVar(&simulate, "simulate", false, "call the built-in simulator instead of DingTalk")
	cmd.Flags().StringVar(&reportFile, "report", "", "write what became of each pair to this file: .csv, .xlsx, .html or .json")
	addVerifyFlag(cmd, &verifyToo)
	addConfigFlags(cmd.Flags(), "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_CONCURRENCY",
		"UNROLE_MAX_ATTEMPTS", "UNROLE_RETRY_BASE", "UNROLE_RETRY_CAP", "UNROLE_BUSY_MAX_AGE", "UNROLE_HOLD_PROBE",
		"UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES")
	return cmd
}

// simulated is the DingTalk of a simulation: beside FILE.csv, FILE.simulator.json says who works there and whom it refuses.
func (a *app) simulated(cmd *cobra.Command, file string) (*simulator.Simulator, error) {
	c, err := a.loadConfig(cmd)
	if err != nil {
		return nil, err
	}
	return simulatorOf(c, file)
}

// asSimulated has the credentials of the simulator in the place of DingTalk's.
func asSimulated(c *config.Config) {
	c.DingTalk.AppKey, c.DingTalk.AppSecret, c.DingTalk.AccessToken = simulator.AppKey, simulator.AppSecret, ""
}

func simulatorOf(c *config.Config, file string) (*simulator.Simulator, error) {
	opt := simulator.Options{QPS: int(max(c.QPS, 1)), Latency: 30 * time.Millisecond, KeepCalls: -1}
	if file != "" {
		if err := addRefusals(file, &opt); err != nil {
			return nil, err
		}
	}
	return simulator.New(opt), nil
}

// dingTalkOf names the DingTalk that run calls, and as which app.
func dingTalkOf(c *config.Config) (texts.Text, error) {
	if err := c.NeedCredentials(); err != nil {
		return texts.Text{}, exitWith(exitCredentials, err)
	}
	return texts.T("DingTalk %s, app %s", c.DingTalk.BaseURL, cmp.Or(c.DingTalk.AppKey, "DINGTALK_ACCESS_TOKEN")), nil
}

type runOptions struct {
	simulator *simulator.Simulator
	report    *reportTarget // nil for none
	list      *listed
	verify    bool // ask DingTalk afterwards
	quiet     bool // no log lines but errors: the summary says it all
}

func fileOf(args []string) string {
	if len(args) == 1 && args[0] != "-" {
		return args[0]
	}
	return ""
}

func logLevelGiven(a *app, cmd *cobra.Command) bool {
	return a.getenv("UNROLE_LOG_LEVEL") != "" || cmd.Flags().Changed("log-level")
}

// run submits the request to a queue in memory and works until it is done.
func (a *app) run(ctx context.Context, req *request, opt runOptions) error {
	c := req.config
	if opt.quiet {
		c.LogLevel = "error"
	}
	log := a.logger(c)

	rdb, closeMemory, err := memoryRedis()
	if err != nil {
		return err
	}
	defer closeMemory()

	with := parts(rdb, log)
	stopTracing, err := a.trace(&with)
	if err != nil {
		return err
	}
	defer stopTracing()
	if sim := opt.simulator; sim != nil {
		if req.seen == nil {
			company := texts.T("SIMULATION: a simulator answers instead of DingTalk; its company holds the users and roles of this list whose ids have the form of one")
			if req.restore != nil {
				company = texts.T("SIMULATION: a simulator answers instead of DingTalk; its company has the people and roles of this report")
			}
			a.note(company)
			grantAll(sim, req.removals, lists.Plausible)
		}
		with.Transport = sim.Transport()
	}
	c.WebhookURL = "" // whoever waits for the end is told here
	e, err := engine.New(c, with)
	if err != nil {
		return err
	}
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return err
	}
	began := time.Now()
	job, followErr, err := a.work(ctx, e, client, req, opt, with.Trace)
	if err != nil {
		return err
	}
	took := time.Since(began)

	// What was in flight when the wait ended counts too, and a report is due also after Ctrl-C.
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if last, err := e.Ledger.Get(after, req.JobID); err == nil {
		job = last
	}
	var verified *verify.Result
	if opt.verify && job.State.Finished() {
		res, err := a.verifyEnded(ctx, c, with, e.Ledger, req.JobID)
		if err != nil {
			return err
		}
		verified = &res
	}
	// The report first: whoever reads the summary may have gone.
	var notWritten error
	if opt.report != nil {
		notWritten = a.writeReport(after, opt.report, e.Ledger, job, opt.list)
	}
	if err := a.printJob(after, e.Ledger, job, took); err != nil && !errors.Is(err, syscall.EPIPE) {
		return errors.Join(notWritten, err)
	}
	if notWritten != nil {
		return notWritten
	}
	if err := a.sayVerified(req.JobID, verified); err != nil {
		return err
	}
	if err := a.endOfRun(job, followErr); err != nil || verified == nil {
		return err
	}
	return endOfVerification(*verified)
}

// work submits the request and has the engine work on it until the job has ended, or stopped says why nobody waits any longer.
func (a *app) work(ctx context.Context, e *engine.Engine, client *enqueue.Client, req *request, opt runOptions, t *trace.Tracer) (job ledger.Job, stopped, err error) {
	submission := req.submission.of(a, req)
	submission.Simulated = opt.simulator != nil
	submitting, span := t.Command(ctx, "run")
	submitted, err := client.Submit(submitting, submission)
	span.End(err != nil)
	if err != nil {
		return job, nil, err
	}
	a.note(texts.T("job %s: %s of %s and %s in %s", req.JobID, pairsOf(req.removals.Pairs()), usersOf(len(req.removals.Users())),
		rolesOf(len(req.removals.Roles())), callsFor(submitted.Job.PlannedCalls)))

	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() { worked <- e.Run(working) }()
	patience := patienceWithHold * req.config.HoldProbe
	pacer := e.Pacer
	if submission.Action == tasks.Add {
		pacer = e.Adding
	}
	job, stopped = a.follow(ctx, e.Ledger, pacer, req.JobID, func(s pace.Status) bool {
		return s.Accepted == 0 || s.Hold.Kind.Sticky() || s.Now.Sub(s.Hold.Since) > patience
	})
	stop()
	return job, stopped, <-worked
}

// harmless says that doing again what a job did changes nothing.
func harmless(job ledger.Job) texts.Text {
	if job.Action == tasks.Add {
		return texts.T("giving back twice is harmless")
	}
	return texts.T("removing twice is harmless")
}

// endOfRun turns the end of a run into an exit code, and says how to go on where it did not complete.
func (a *app) endOfRun(job ledger.Job, err error) error {
	var held *errHeld
	switch {
	case errors.As(err, &held):
		return exitWith(exitCredentials, texts.T("%v\nthe queue was in memory: once that is mended, the same command goes on; %s", held, harmless(job)))
	case err != nil && job.Pairs.Pending > 0:
		a.note(texts.T("the queue was in memory: the same command goes on where this ended; %s", harmless(job)))
		return err
	case job.State == ledger.StateCompleted:
		return nil
	}
	return &exit{code: codeOfJob(job)}
}
