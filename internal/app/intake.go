package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/in/adapter"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpapi"
)

// Intake takes removals over HTTP.
type Intake struct {
	Handler  http.Handler
	Observed *Observation

	notifier *webhook.Notifier // nil without a receiver
	log      zerolog.Logger
}

// Admission is whom an intake lets in, with how much. See httpapi.Config.
type Admission struct {
	Keys     *httpapi.Keys
	MaxUsers int
	Rate     float64
}

// NewIntake assembles an intake. A *Fault says what is wrong with the configuration.
func NewIntake(c *config.Config, with Parts, admission Admission) (*Intake, error) {
	protected, err := protect.Parse(c.ProtectedUsers, c.ProtectedRoles)
	if err != nil {
		return nil, &Fault{err}
	}
	records := ledger.New(with.Redis, c.Retention)
	notifier, err := newNotifier(c, with, records, redisconn.NewGate(with.Log))
	if err != nil {
		return nil, err
	}
	client, err := enqueue.NewClient(enqueue.Config{Redis: with.Redis, Protected: protected, Retention: c.Retention})
	if err != nil {
		return nil, err
	}
	adapters, err := loadAdapters(c.AdaptersFile)
	if err != nil {
		return nil, err
	}
	observed := newObservation(c, with)
	observed.ledger = records
	var heard func(adapter, result string)
	if adapters != nil {
		heard = observed.metrics.Hooks(slices.Sorted(maps.Keys(adapters)), httpapi.HookResults())
	}
	handler, err := httpapi.New(httpapi.Config{Heard: heard, Submitter: client,
		Asked: &asked.Client{Ledger: records, Protected: protected, Secret: []byte(c.DingTalk.AppSecret)}, Ledger: records, Redis: with.Redis, Keys: admission.Keys, Adapters: adapters, Protected: protected,
		MaxUsers: admission.MaxUsers, MaxUsersPerDay: c.MaxUsersPerDay, Preflight: c.Preflight == "true", Rate: admission.Rate, Trace: with.Trace, Log: with.Log})
	if err != nil {
		return nil, &Fault{err}
	}
	if admission.Keys != nil {
		observed.keys = admission.Keys.Fault
	}
	return &Intake{Handler: handler, Observed: observed, notifier: notifier, log: with.Log}, nil
}

// loadAdapters reads UNROLE_ADAPTERS_FILE; without one there are none.
func loadAdapters(file string) (map[string]*adapter.Adapter, error) {
	if file == "" {
		return nil, nil
	}
	adapters, err := adapter.Load(file)
	if err != nil {
		return nil, &Fault{fmt.Errorf("UNROLE_ADAPTERS_FILE: %w", err)}
	}
	return adapters, nil
}

// Notify tells the receiver of the webhook when jobs end, until ctx ends; without a receiver it returns at once.
func (i *Intake) Notify(ctx context.Context) { notify(ctx, i.notifier, i.log) }

// newNotifier is what tells UNROLE_WEBHOOK_URL when jobs end; nil where that is not set.
func newNotifier(c *config.Config, with Parts, l *ledger.Ledger, gate *redisconn.Gate) (*webhook.Notifier, error) {
	if c.WebhookURL == "" {
		return nil, nil
	}
	if c.WebhookSecret == "" {
		return nil, &Fault{errors.New("UNROLE_WEBHOOK_SECRET: missing: set it, or UNROLE_WEBHOOK_SECRET_FILE, to the secret that signs what UNROLE_WEBHOOK_URL is sent (unrole api token --signing NAME makes one)")}
	}
	secrets, err := webhook.ParseSecrets(c.WebhookSecret)
	if err != nil {
		return nil, &Fault{fmt.Errorf("UNROLE_WEBHOOK_SECRET: %w", err)}
	}
	return webhook.New(webhook.Config{Redis: with.Redis, Gate: gate, Ledger: l, URL: c.WebhookURL, Secrets: secrets, Transport: with.Transport,
		UserAgent: with.userAgent(), Log: with.Log})
}

func notify(ctx context.Context, n *webhook.Notifier, log zerolog.Logger) {
	if n == nil {
		return
	}
	if err := n.Run(ctx); err != nil {
		log.Error().Err(err).Msg("nobody is told when jobs end")
	}
}
