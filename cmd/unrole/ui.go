package main

import (
	"context"
	"fmt"
	"net"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/internal/run/webui"
)

func (a *app) uiCommand() *cobra.Command {
	var opt uiOptions
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve the web UI of the queues",
		Long: `ui serves asynq's web UI: the lanes, the tasks in them and the dead letters with their reasons. It only shows unless
--allow-actions is given; then "Run" on a dead letter tries it again.

With a password (UNROLE_UI_PASSWORD or UNROLE_UI_PASSWORD_FILE) it asks for the user ` + webui.User + ` and the password; without
one it listens on this machine only. It speaks HTTP: put a proxy with TLS in front where others reach it. /healthz says
without a password whether Redis answers.`,
		Example: `  unrole ui
  UNROLE_UI_PASSWORD_FILE=ui.password unrole ui --ui-listen :8081 --prefix /unrole --allow-actions`,
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
	cmd.Flags().BoolVar(&opt.allowActions, "allow-actions", false, "let people run, archive and delete tasks and pause queues")
	cmd.Flags().StringVar(&opt.prefix, "prefix", "", "path that the UI lives under, behind a proxy say, such as /unrole")
	cmd.Flags().StringVar(&opt.prometheus, "prometheus", "", "address of a Prometheus that scrapes the workers, for charts")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_UI_LISTEN")
	return cmd
}

type uiOptions struct {
	allowActions       bool
	prefix, prometheus string
}

func (o uiOptions) check(cmd *cobra.Command, c *config.Config) error {
	if c.UIPassword == "" && !httpserve.IsLoopback(c.UIListen) {
		return exitf(exitUsage, "UNROLE_UI_LISTEN: %s can be reached from other machines, and there is no password: set UNROLE_UI_PASSWORD_FILE, or listen on 127.0.0.1", c.UIListen)
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
}

func (a *app) serveUI(ctx context.Context, c *config.Config, opt uiOptions) error {
	log := a.logger(c)
	client, err := openRedis(ctx, c, log)
	if err != nil {
		return err
	}
	defer client.Close()
	handler, err := webui.New(webui.Config{Redis: client, Prefix: opt.prefix, AllowActions: opt.allowActions,
		Password: c.UIPassword, Prometheus: opt.prometheus, Log: log})
	if err != nil {
		return exitWith(exitUsage, err)
	}
	l, err := net.Listen("tcp", c.UIListen)
	if err != nil {
		return fmt.Errorf("UNROLE_UI_LISTEN: %w", err)
	}
	ready := uiReady{"http://" + reachable(l.Addr()) + opt.prefix + "/", opt.allowActions, c.UIPassword != ""}
	if err := a.printUIReady(ready); err != nil {
		l.Close()
		return err
	}
	return httpserve.Serve(ctx, l, handler, drain, log)
}

func (a *app) printUIReady(r uiReady) error {
	if a.output == outputJSON {
		return a.printJSON(r)
	}
	what := "shows only; --allow-actions lets people run and delete tasks"
	if r.AllowActions {
		what = "with actions: people can run, archive and delete tasks"
	}
	who := "no password, this machine only"
	if r.Password {
		who = "user " + webui.User + " and the password"
	}
	_, err := fmt.Fprintf(a.stdout, "web UI on %s (%s; %s)\nCtrl-C ends it.\n", r.URL, what, who)
	return err
}
