package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpapi"
	"github.com/unrole/unrole/internal/run/httpserve"
)

// apiFlags are what the HTTP intake lets through.
type apiFlags struct {
	maxUsers int
	rate     float64
}

func (a *app) apiCommand() *cobra.Command {
	var opt apiFlags
	cmd := &cobra.Command{
		Use:   "api",
		Short: "Take removals over HTTP",
		Long: `api is the HTTP intake for HR systems and scripts: POST /v1/removals submits, GET /v1/removals/JOB tells what became of
it, GET /openapi.yaml describes all of it. A removal that was answered with 202 is stored; workers carry it out.

Callers send a bearer token or sign their messages (Standard Webhooks); UNROLE_API_TOKENS_FILE lists both, and
unrole api token makes them. Without that file api listens on loopback only, and lets in everybody on this machine.`,
		Example: `  unrole api token hr-system >token.txt 2>>tokens
  unrole api --api-listen :8080 --api-tokens-file tokens`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if opt.maxUsers < 1 || opt.rate <= 0 {
				return usageError(cmd, errors.New("--max-users and --requests-per-second must be more than 0"))
			}
			return a.serveAPI(cmd.Context(), c, opt)
		},
	}
	cmd.Flags().IntVar(&opt.maxUsers, "max-users", defaultMaxUsers, "guard: a request with more distinct users than this is refused")
	cmd.Flags().Float64Var(&opt.rate, "requests-per-second", 300, "requests a second that each caller may make on average, and twice as many at once")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "UNROLE_API_LISTEN", "UNROLE_API_TOKENS_FILE", "UNROLE_ADAPTERS_FILE", "UNROLE_MAX_USERS_PER_DAY", "UNROLE_RETENTION",
		"UNROLE_PROTECTED_USERS", "UNROLE_PROTECTED_ROLES", "UNROLE_WEBHOOK_URL", "UNROLE_ADMIN_LISTEN")
	cmd.AddCommand(a.apiTokenCommand())
	return cmd
}

// apiReady is what api prints when it listens, with --output json.
type apiReady struct {
	URL string `json:"url"`
}

func (a *app) serveAPI(ctx context.Context, c *config.Config, opt apiFlags) error {
	log := a.logger(c)
	var keys *httpapi.Keys
	if c.APITokensFile != "" {
		var err error
		if keys, err = httpapi.OpenKeys(c.APITokensFile, log); err != nil {
			return exitf(exitUsage, "UNROLE_API_TOKENS_FILE: %w", err)
		}
	}
	l, err := listenForAPI(c.APIListen, keys)
	if err != nil {
		return err
	}
	defer l.Close()
	with, end, err := a.service(ctx, c, log)
	if err != nil {
		return err
	}
	defer end()
	intake, err := engine.NewIntake(c, with, engine.Admission{Keys: keys, MaxUsers: opt.maxUsers, Rate: opt.rate})
	if err != nil {
		return err
	}
	stopAdmin, err := serveAdmin(ctx, c, intake.Observed, log)
	if err != nil {
		return err
	}
	defer stopAdmin()
	if err := a.printAPIReady(l); err != nil {
		return err
	}
	notifying, stopNotifying := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { intake.Notify(notifying) })
	defer background.Wait()
	defer stopNotifying()
	return httpserve.Serve(ctx, l, intake.Handler, apiDrain, log)
}

// apiDrain is how long submissions under way may take to end once the intake is told to stop.
const apiDrain = 20 * time.Second

// listenForAPI listens, and refuses an address that others reach where nobody is asked who he is.
func listenForAPI(address string, keys *httpapi.Keys) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("UNROLE_API_LISTEN: %w", err)
	}
	if keys == nil && !httpserve.IsLoopback(l.Addr().String()) {
		l.Close()
		return nil, exitf(exitUsage, "UNROLE_API_LISTEN: %s is reached from other machines, and nobody would be asked who he is: set UNROLE_API_TOKENS_FILE (unrole api token makes its lines), or listen on 127.0.0.1",
			address)
	}
	return l, nil
}

func (a *app) printAPIReady(l net.Listener) error {
	url := "http://" + reachable(l.Addr())
	if a.output == outputJSON {
		return a.printJSON(apiReady{url})
	}
	_, err := fmt.Fprintf(a.stdout, "HTTP intake on %s (its description: %[1]s/openapi.yaml)\n", url)
	return err
}

func (a *app) apiTokenCommand() *cobra.Command {
	var signing bool
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for a caller of the HTTP intake",
		Long: `token makes a bearer token and prints it on stdout, once: give it to the caller. On stderr stands the line for
UNROLE_API_TOKENS_FILE, which holds only a hash of the token. With --signing it makes a secret for a caller that signs
its messages (Standard Webhooks); that secret itself stands in the line, so keep the file to yourself.

A running api takes the file's changes over within a second or two. To replace a token, add the new line, hand the new
token over, then delete the old line.`,
		Example: `  unrole api token hr-system >token.txt 2>>tokens`,
		Args:    exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			makeKey := httpapi.NewToken
			if signing {
				makeKey = httpapi.NewSigningSecret
			}
			key, line, err := makeKey(args[0])
			if err != nil {
				return usageError(cmd, err)
			}
			if a.output == outputJSON {
				return a.printJSON(map[string]string{"name": args[0], "key": key, "line": line})
			}
			fmt.Fprintln(a.stderr, line)
			_, err = fmt.Fprintln(a.stdout, key)
			return err
		},
	}
	cmd.Flags().BoolVar(&signing, "signing", false, "make a secret that signs messages, instead of a bearer token")
	return cmd
}
