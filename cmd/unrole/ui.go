package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/console"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/internal/run/signin"
	"github.com/unrole/unrole/internal/run/webui"
)

func (a *app) uiCommand() *cobra.Command {
	var opt uiOptions
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve the web pages: the console, and the queues",
		Long: `ui serves the console, pages for people who do not read queues: removals and how far they are, what was not removed and
what to do about it, reports, who did what, the fleet. Below it, at /queues/, is asynq's web UI for engineers. Both only show
unless --allow-actions is given.

With a users file (UNROLE_UI_USERS_FILE) people sign in by name; each may look (viewer), also submit, cancel and try again
(operator), or also approve (approver), whether or not --allow-actions is given, which then is about the queues only. A line
is NAME:HASH:ROLE: what htpasswd -nB -C 12 NAME prints, and the role. With a password instead (UNROLE_UI_PASSWORD or
UNROLE_UI_PASSWORD_FILE) it asks for the user ` + signin.User + ` and the password; without either it listens on this machine only. It speaks HTTP: put a proxy with TLS in front where others reach it. /healthz says
without a password whether Redis answers.

To show the pace it needs the app key that the workers have. With the app's secret, too, a new removal may name people and
roles as enqueue may, and says before anything is submitted who was found and who holds what; without it only ids are taken.`,
		Example: `  unrole ui
  unrole ui --ui-listen :8081 --ui-users-file users --approve-above 50 --prefix /unrole`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if err := opt.check(cmd, c); err != nil {
				return err
			}
			return a.serveUI(cmd.Context(), c, opt)
		},
	}
	cmd.Flags().BoolVar(&opt.allowActions, "allow-actions", false, "let people change things, too: run, archive and delete tasks, pause queues")
	cmd.Flags().StringVar(&opt.prefix, "prefix", "", "path that the UI lives under, behind a proxy say, such as /unrole")
	cmd.Flags().StringVar(&opt.prometheus, "prometheus", "", "address of a Prometheus that scrapes the workers, for charts")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_UI_LISTEN", "UNROLE_UI_USERS_FILE", "UNROLE_APPROVE_ABOVE", "UNROLE_MAX_USERS_PER_DAY",
		"UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_PREFLIGHT", "UNROLE_MAX_SHARE")
	cmd.Flags().Lookup("preflight").NoOptDefVal = "true"
	return cmd
}

type uiOptions struct {
	allowActions       bool
	prefix, prometheus string
	// simulated says that the workers call a simulator.
	simulated bool
	// ending, when closed, ends what streams.
	ending <-chan struct{}
	trace  *trace.Tracer
}

func (o uiOptions) check(cmd *cobra.Command, c *config.Config) error {
	switch {
	case c.UIPassword != "" && c.UIUsersFile != "":
		return exitf(exitUsage, "UNROLE_UI_PASSWORD and UNROLE_UI_USERS_FILE are both set: keep the users file, by which everybody has a name")
	case c.UIPassword == "" && c.UIUsersFile == "" && !httpserve.IsLoopback(c.UIListen):
		return exitf(exitUsage, "UNROLE_UI_LISTEN: %s can be reached from other machines, and nobody has to sign in: set UNROLE_UI_USERS_FILE or UNROLE_UI_PASSWORD_FILE, or listen on 127.0.0.1", c.UIListen)
	}
	if o.prometheus == "" {
		return nil
	}
	if u, err := url.Parse(o.prometheus); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return usageError(cmd, fmt.Errorf("--prometheus is not an address like http://prometheus:9090"))
	}
	return nil
}

// uiReady is the JSON that ui prints when it listens.
type uiReady struct {
	URL          string `json:"url"`
	AllowActions bool   `json:"allow_actions"`
	Password     bool   `json:"password"`
	Users        bool   `json:"users"`
}

func (a *app) serveUI(ctx context.Context, c *config.Config, opt uiOptions) error {
	log := a.logger(c)
	with, end, err := a.service(ctx, c, log)
	if err != nil {
		return err
	}
	defer end()
	opt.ending, opt.trace = ctx.Done(), with.Trace
	handler, err := a.webPages(c, with.Redis, opt, log)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.UIListen)
	if err != nil {
		return fmt.Errorf("UNROLE_UI_LISTEN: %w", err)
	}
	ready := uiReady{"http://" + reachable(l.Addr()) + opt.prefix + "/", opt.allowActions, c.UIPassword != "", c.UIUsersFile != ""}
	if err := a.printUIReady(ready); err != nil {
		l.Close()
		return err
	}
	return httpserve.Serve(ctx, l, handler, drain, log)
}

// webPages are the console, asynq's web UI below it, and the guard before both.
func (a *app) webPages(c *config.Config, rdb redis.UniversalClient, opt uiOptions, log zerolog.Logger) (http.Handler, error) {
	prefix, err := signin.CleanPrefix(opt.prefix)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	pacer, err := engine.NewPacer(c, parts(rdb, log))
	if err != nil {
		return nil, err
	}
	protected, err := protect.Parse(c.ProtectedUsers, c.ProtectedRoles)
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	look, err := openDirectory(c, rdb, opt.ending, log)
	if err != nil {
		return nil, err
	}
	people, err := console.New(console.Config{Redis: rdb, Ledger: ledger.New(rdb, c.Retention), Pacer: pacer, Prefix: prefix, Ending: opt.ending,
		Directory: look, Preflight: c.Preflight, MaxShare: c.MaxShare,
		Protected: protected, Retention: c.Retention, ApproveAbove: c.ApproveAbove, MaxUsersPerDay: c.MaxUsersPerDay, Simulated: opt.simulated, Trace: opt.trace,
		Version: readBuildInfo().Version, Log: log})
	if err != nil {
		return nil, err
	}
	queues, err := webui.New(webui.Config{Redis: rdb, Prefix: prefix + "/queues", AllowActions: opt.allowActions, Prometheus: opt.prometheus, Log: log})
	if err != nil {
		return nil, err
	}
	var users *signin.Users
	if c.UIUsersFile != "" {
		if users, err = signin.OpenUsers(c.UIUsersFile, log); err != nil {
			return nil, exitf(exitUsage, "UNROLE_UI_USERS_FILE: %w", err)
		}
	}
	pages := http.NewServeMux()
	pages.Handle(prefix+"/queues/", queues)
	pages.Handle(prefix+"/", people)
	return signin.New(signin.Config{Redis: rdb, Pages: pages, Prefix: prefix, Password: c.UIPassword, Users: users, Page: people.SignIn,
		AllowActions: opt.allowActions, Local: a.whoami(), Log: log})
}

// openDirectory is how the console looks at DingTalk; nil where the configuration has no credentials. All that it looks at
// shares the pace of the fleet.
func openDirectory(c *config.Config, rdb redis.UniversalClient, ending <-chan struct{}, log zerolog.Logger) (func() (*directory.Directory, error), error) {
	if c.NeedCredentials() != nil {
		return nil, nil
	}
	client, err := dingtalk.New(engine.Credentials(c, parts(rdb, log)))
	if err != nil {
		return nil, exitWith(exitUsage, err)
	}
	if ending != nil {
		go func() {
			<-ending
			client.Close()
		}()
	}
	d, err := engine.NewDirectory(c, parts(rdb, log), client)
	if err != nil {
		return nil, err
	}
	return func() (*directory.Directory, error) { return d.Fresh(), nil }, nil
}

func (a *app) printUIReady(r uiReady) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	what := "shows only; --allow-actions lets people change things"
	if r.AllowActions {
		what = "with actions: people can change things"
	}
	who := "no password, this machine only"
	switch {
	case r.Users:
		who = "people sign in by name"
	case r.Password:
		who = "user " + signin.User + " and the password"
	}
	_, err := fmt.Fprintf(a.stdout, "console on %s (%s; %s)\nCtrl-C ends it.\n", r.URL, what, who)
	return err
}
