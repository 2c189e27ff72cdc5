package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/tasks"
)

func (a *app) statusCommand() *cobra.Command {
	var opt statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the fleet does now",
		Long: `status shows on one screen what the workers do now: who works, what waits in which lane and for how long, the pace and
what sets it, a pause or hold with the remedy, how calls ended in the last minutes, and the dead letters; and how people and roles
are looked up: at what pace, and how old the index of staff numbers is (of the app at DINGTALK_BASE_URL).

Most holds end by themselves once the cause is gone. Three need a word from you: everything_refused, which says that every
id was refused and none accepted, ends with --confirm-refusals; quota and audit end with --clear-hold.

It needs the app key that the workers have (DINGTALK_APP_KEY), but no secret.`,
		Example: `  unrole status --watch
  unrole status --output json | jq .pace`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opt.check(cmd); err != nil {
				return err
			}
			c, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			client, err := openRedis(cmd.Context(), c, a.logger(c))
			if err != nil {
				return err
			}
			defer client.Close()
			if c.DingTalk.AppKey == "" && c.DingTalk.AccessToken == "" {
				fmt.Fprintln(a.stderr, "DINGTALK_APP_KEY is not set: pace and hold are those of workers with an access token, not of an app")
			}
			pacer, err := engine.NewPacer(c, parts(client, zerolog.Nop()))
			if err != nil {
				return err
			}
			adding, err := engine.NewAddingPacer(c, parts(client, zerolog.Nop()))
			if err != nil {
				return err
			}
			return a.status(cmd.Context(), newStatusReader(c, parts(client, zerolog.Nop()), pacer, adding, ledger.New(client, c.Retention)), opt)
		},
	}
	cmd.Flags().BoolVarP(&opt.watch, "watch", "w", false, "show it again and again, until Ctrl-C")
	cmd.Flags().DurationVar(&opt.every, "every", 2*time.Second, "time between two looks of --watch")
	cmd.Flags().BoolVar(&opt.confirmRefusals, "confirm-refusals", false, "end a hold everything_refused: the ids really are all bad")
	cmd.Flags().BoolVar(&opt.clearHold, "clear-hold", false, "end a hold that waits for an operator: quota or audit")
	addConfigFlags(cmd.Flags(), "REDIS_URL", "DINGTALK_BASE_URL", "DINGTALK_APP_KEY", "UNROLE_QPS", "UNROLE_DIRECTORY_TTL")
	return cmd
}

type statusOptions struct {
	watch                      bool
	every                      time.Duration
	confirmRefusals, clearHold bool
}

func (o statusOptions) check(cmd *cobra.Command) error {
	switch {
	case o.every < 100*time.Millisecond:
		return usageError(cmd, fmt.Errorf("--every %s is too short: at least 100ms", o.every))
	case o.confirmRefusals && o.clearHold:
		return usageError(cmd, errors.New("--confirm-refusals and --clear-hold end different holds: give the one that fits"))
	case o.watch && (o.confirmRefusals || o.clearHold):
		return usageError(cmd, errors.New("--watch only shows: end the hold first"))
	}
	return nil
}

// status shows the fleet once or again and again, after ending a hold if that is asked for.
func (a *app) status(ctx context.Context, r *statusReader, opt statusOptions) error {
	switch {
	case opt.confirmRefusals:
		if err := a.endHold(ctx, r, pace.HoldEverythingRefused); err != nil {
			return err
		}
	case opt.clearHold:
		if err := a.endHold(ctx, r, pace.HoldQuota, pace.HoldAudit); err != nil {
			return err
		}
	}
	if !opt.watch {
		s, err := r.read(ctx)
		if err != nil {
			return err
		}
		return a.printStatus(s)
	}
	tick := time.NewTicker(opt.every)
	defer tick.Stop()
	for {
		s, err := r.read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			fmt.Fprintf(a.stderr, "Redis is away: %v\n", err)
		default:
			if a.output == outputText && a.isTerminal(a.stdout) {
				fmt.Fprint(a.stdout, "\x1b[H\x1b[2J") // home, clear
			}
			if err := a.printStatus(s); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// endHold ends the holds of the kinds, of removals and of what gives back. That there is none of them is an error: whoever asks
// expects one.
func (a *app) endHold(ctx context.Context, r *statusReader, kinds ...pace.HoldKind) error {
	var ended, other []string
	for _, pacer := range []*pace.Pacer{r.pacer, r.adding} {
		kind, err := pacer.ClearHold(ctx, kinds...)
		if err != nil {
			return err
		}
		if kind != "" {
			ended = append(ended, string(kind))
			continue
		}
		s, err := pacer.Status(ctx)
		if err != nil {
			return err
		}
		if s.Hold != nil {
			other = append(other, s.Hold.Words())
		}
	}
	switch {
	case ended != nil:
		fmt.Fprintf(a.stderr, "hold %s ended; the workers call again\n", strings.Join(slices.Compact(ended), " and "))
		return nil
	case other != nil:
		return fmt.Errorf("the fleet holds for another reason, which this does not end: %s", strings.Join(slices.Compact(other), "; "))
	}
	return errors.New("the fleet does not hold: nothing to end")
}

// statusReader reads everything that status shows.
type statusReader struct {
	fleet         *fleet.Reader
	pacer, adding *pace.Pacer // of removals, and of what gives back
	lookups       func(context.Context) (fleet.Lookups, error)
}

func newStatusReader(c *config.Config, with engine.Parts, pacer, adding *pace.Pacer, l *ledger.Ledger) *statusReader {
	return &statusReader{fleet.NewReader(with.Redis, l), pacer, adding,
		func(ctx context.Context) (fleet.Lookups, error) { return engine.ReadLookups(ctx, c, with) }}
}

// fleetStatus is the JSON of status.
type fleetStatus struct {
	At      time.Time      `json:"at"`
	Workers []workerStatus `json:"workers"`
	Lanes   []laneStatus   `json:"lanes"`
	// Backlog is the tasks on their way, OldestSeconds how long one of them has waited at most.
	Backlog       int     `json:"backlog"`
	OldestSeconds float64 `json:"oldest_seconds"`
	DeadLetters   int     `json:"dead_letters"`
	// Retried is the dead letters that were made due and are tried again.
	Retried int        `json:"dead_letters_retried"`
	Pace    paceStatus `json:"pace"`
	// Adding is the pace of the calls that give back, which DingTalk limits apart.
	Adding paceStatus `json:"pace_giving_back"`
	// Lookups are the paces of the APIs that were asked within the last hour.
	Lookups []lookupStatus `json:"lookups"`
	// Index is that of staff numbers and addresses; nil where none is kept.
	Index   *indexStatus `json:"index"`
	Minutes []callMinute `json:"calls_by_minute"`
	// Unserved are queues with tasks that no process serves.
	Unserved []fleet.Unserved `json:"unserved,omitempty"`

	indexWords string
}

type workerStatus struct {
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Active    int       `json:"active"`
	Stopping  bool      `json:"stopping"`
	// Leads says that it has the lead: it takes the tasks, and the others stand by.
	Leads bool `json:"leads"`
}

type laneStatus struct {
	Lane          string  `json:"lane"`
	Pending       int     `json:"pending"`
	Active        int     `json:"active"`
	Retry         int     `json:"retry"`
	Scheduled     int     `json:"scheduled"`
	Archived      int     `json:"archived"`
	Completed     int     `json:"completed"`
	OldestSeconds float64 `json:"oldest_seconds"`
	Paused        bool    `json:"paused"`
}

type paceStatus struct {
	Ceiling float64 `json:"ceiling"`
	// Rate is what is granted now, 0 while nobody calls.
	Rate  float64         `json:"rate"`
	Why   pace.RateReason `json:"why"`
	Pause *pauseStatus    `json:"pause"`
	Hold  *holdStatus     `json:"hold"`
	// OutageSince is set while DingTalk does not answer.
	OutageSince *time.Time `json:"outage_since"`
	Granted     int64      `json:"granted"`
	Accepted    int64      `json:"accepted"`
}

type pauseStatus struct {
	Until time.Time  `json:"until"`
	Scope pace.Limit `json:"scope"`
	Why   string     `json:"why"`
}

type holdStatus struct {
	Kind      pace.HoldKind `json:"kind"`
	Message   string        `json:"message"`
	Named     string        `json:"named"`
	Since     time.Time     `json:"since"`
	NextProbe *time.Time    `json:"next_probe"`
	Remedy    string        `json:"remedy"`
}

type callMinute struct {
	Start time.Time                 `json:"start"`
	Calls map[pace.AnswerKind]int64 `json:"calls"`
}

func (r *statusReader) read(ctx context.Context) (fleetStatus, error) {
	p, err := r.pacer.Status(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	adding, err := r.adding.Status(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	queues, err := r.fleet.Queues(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	workers, err := r.fleet.Workers(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	unserved, err := r.fleet.Unserved(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	lookups, err := r.lookups(ctx)
	if err != nil {
		return fleetStatus{}, err
	}
	s := fleetStatus{Lookups: lookupsStatusOf(lookups), Index: indexStatusOf(lookups), indexWords: lookups.IndexWords(p.Now), Unserved: unserved, At: p.Now, Pace: paceStatusOf(p), Adding: paceStatusOf(adding), Workers: []workerStatus{}}
	for _, w := range workers {
		s.Workers = append(s.Workers, workerStatus{w.Host, w.PID, w.Started.UTC(), w.Active, w.Stopping, w.Leads})
	}
	for _, q := range queues {
		if q.Name == tasks.QueueDeadLetter {
			s.DeadLetters, s.Retried = q.Scheduled, q.Waiting()
			continue
		}
		s.Lanes = append(s.Lanes, laneStatus{q.Name, q.Pending, q.Active, q.Retry, q.Scheduled, q.Archived, q.Completed, q.Oldest.Seconds(), q.Paused})
		s.Backlog += q.Waiting()
		s.OldestSeconds = max(s.OldestSeconds, q.Oldest.Seconds())
	}
	for _, m := range p.Minutes {
		s.Minutes = append(s.Minutes, callMinute{m.Start, m.Calls})
	}
	return s, nil
}
