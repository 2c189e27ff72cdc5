package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/internal/simulator"
)

func (a *app) demoCommand() *cobra.Command {
	var opt demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it all at work, with nothing installed",
		Long: `demo runs everything in one process, in memory: a simulated DingTalk, the queue, a worker, the HTTP intake, the console
and the metrics.
Days at a company play by themselves: people leave, a department is laid off, an import is faulty, DingTalk is busy for
a while, the app loses its permission and gets it back. It prints the addresses to open, and what happens as it happens.
Nothing outside this process is touched; Ctrl-C ends it.`,
		Example: `  unrole demo
  unrole demo --hour 30s`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.hour < 50*time.Millisecond {
				return usageError(cmd, fmt.Errorf("--hour %s is too short: at least 50ms", opt.hour))
			}
			if opt.lasts < 0 {
				return usageError(cmd, fmt.Errorf("--for %s is negative", opt.lasts))
			}
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if !logLevelGiven(a, cmd) {
				c.LogLevel = "error" // the story says it all
			}
			opt.anyPort = !cmd.Flags().Changed("ui-listen")
			return a.demo(cmd.Context(), c, opt)
		},
	}
	cmd.Flags().DurationVar(&opt.hour, "hour", 10*time.Second, "how long an hour of the day takes")
	cmd.Flags().DurationVar(&opt.lasts, "for", 0, "end after this time (0: at Ctrl-C)")
	addConfigFlags(cmd.Flags(), "UNROLE_UI_LISTEN")
	return cmd
}

type demoOptions struct {
	hour, lasts time.Duration
	// anyPort takes a free port where that of the web UI is in use.
	anyPort bool
}

// demoReady is the JSON that demo prints when everything runs.
type demoReady struct {
	UI        string `json:"ui"`
	Metrics   string `json:"metrics"`
	API       string `json:"api"`
	RedisURL  string `json:"redis_url"`
	DingTalk  string `json:"dingtalk_base_url"`
	AppKey    string `json:"app_key"`
	AppSecret string `json:"app_secret"`
}

// demo runs until ctx ends or the time is over, and ends with exit code 0 either way.
func (a *app) demo(ctx context.Context, c *config.Config, opt demoOptions) error {
	if opt.lasts > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.lasts)
		defer cancel()
	}
	rdb, closeMemory, err := memoryRedis()
	if err != nil {
		return err
	}
	defer closeMemory()

	listeners, err := listenAll(c.UIListen, opt.anyPort)
	if err != nil {
		return err
	}
	// Serving closes them; this is for the errors before.
	defer listeners.close()

	sim := simulator.New(simulator.Options{QPS: 20, Latency: 40 * time.Millisecond, Jitter: 80 * time.Millisecond, KeepCalls: -1})
	log := a.logger(c)
	// Whatever the environment says, a demo calls nothing but its own simulator.
	c.RedisURL = "redis://" + rdb.Options().Addr + "/0"
	c.DingTalk = config.DingTalk{BaseURL: "http://" + listeners.dingtalk.Addr().String(), AppKey: simulator.AppKey, AppSecret: simulator.AppSecret}
	c.QPS, c.HoldProbe, c.RetryBase, c.RetryCap = 20, opt.hour/5, min(opt.hour/10, time.Second), opt.hour
	c.ProtectedUsers, c.ProtectedRoles, c.AuditFile, c.WebhookURL = "", "", "", ""
	with := parts(rdb, log)
	e, err := engine.New(c, with)
	if err != nil {
		return err
	}
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return err
	}
	intake, err := engine.NewIntake(c, with, engine.Admission{MaxUsers: defaultMaxUsers, Rate: 300})
	if err != nil {
		return err
	}
	ui, err := a.webPages(c, rdb, uiOptions{allowActions: true, simulated: true, ending: ctx.Done()}, log)
	if err != nil {
		return err
	}
	metrics, err := e.Observed.Handler()
	if err != nil {
		return err
	}
	if err := a.printDemoReady(demoReady{"http://" + listeners.ui.Addr().String() + "/", "http://" + listeners.admin.Addr().String() + "/metrics",
		"http://" + listeners.api.Addr().String(),
		c.RedisURL, c.DingTalk.BaseURL, c.DingTalk.AppKey, c.DingTalk.AppSecret}); err != nil {
		return err
	}

	all, running := errgroup.WithContext(ctx)
	for _, s := range []struct {
		on net.Listener
		h  http.Handler
	}{{listeners.ui, ui}, {listeners.admin, metrics}, {listeners.api, intake.Handler}} {
		all.Go(func() error { return httpserve.Serve(running, s.on, s.h, drain, log) })
	}
	// The simulator outlives the worker, so that calls in flight are answered.
	simulating, stopSimulator := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSimulator()
	all.Go(func() error { return httpserve.Serve(simulating, listeners.dingtalk, sim, drain, log) })
	all.Go(func() error {
		defer stopSimulator()
		return e.Run(running)
	})
	story := &story{app: a, engine: e, sim: sim, client: client, hour: opt.hour,
		status: newStatusReader(c, with, e.Pacer, e.Adding, e.Ledger)}
	all.Go(func() error { return story.play(running) })
	if err := all.Wait(); err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) {
		return err
	}
	return a.printDemoEnd(story)
}

// demoListeners are the addresses of a demo.
type demoListeners struct{ ui, admin, api, dingtalk net.Listener }

func (l demoListeners) close() {
	for _, one := range []net.Listener{l.ui, l.admin, l.api, l.dingtalk} {
		if one != nil {
			one.Close()
		}
	}
}

func listenAll(ui string, anyPort bool) (l demoListeners, err error) {
	if !httpserve.IsLoopback(ui) {
		return l, exitf(exitUsage, "UNROLE_UI_LISTEN: the demo has no password and listens on this machine only: 127.0.0.1:8081, say")
	}
	if l.ui, err = net.Listen("tcp", ui); err != nil && anyPort {
		l.ui, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return l, fmt.Errorf("UNROLE_UI_LISTEN: %w", err)
	}
	for _, free := range []*net.Listener{&l.admin, &l.api, &l.dingtalk} {
		if *free, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			l.close()
			return l, fmt.Errorf("listen on a free port: %w", err)
		}
	}
	return l, nil
}

func (a *app) printDemoReady(r demoReady) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	_, err := fmt.Fprintf(a.stdout, `open   %s   removals, what was not removed, the fleet; the queues are below it, at /queues/
and    %s
submit to %s/v1/removals (its description: %[3]s/openapi.yaml)
or, in another terminal:
  export REDIS_URL=%[4]s DINGTALK_BASE_URL=%[5]s DINGTALK_APP_KEY=%[6]s DINGTALK_APP_SECRET=%[7]s
  unrole status --watch
Ctrl-C ends it.

`, r.UI, r.Metrics, r.API, r.RedisURL, r.DingTalk, r.AppKey, r.AppSecret)
	return err
}

// demoEnd is the JSON that demo prints at its end.
type demoEnd struct {
	Days         int `json:"days"`
	Jobs         int `json:"jobs"`
	RemovedPairs int `json:"removed_pairs"`
	Calls        int `json:"calls"`
	Violations   int `json:"violations"`
}

func (a *app) printDemoEnd(s *story) error {
	stats := s.sim.Stats()
	end := demoEnd{s.days, s.jobs, stats.RemovedPairs, stats.Removals, stats.Violations}
	if a.output == outputJSON {
		return a.printJSON(end)
	}
	_, err := fmt.Fprintf(a.stdout, "\n%s with %s removed in %s; %s of DingTalk's limits broken\n", counted(end.Jobs, "job", "jobs"),
		counted(end.RemovedPairs, "pair", "pairs"), counted(end.Calls, "call", "calls"), counted(end.Violations, "one", "times"))
	return err
}
