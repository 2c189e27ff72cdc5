package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/admin"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/run/metrics"
)

// Observation is what a process tells about itself and its fleet.
type Observation struct {
	metrics *metrics.Metrics
	token   *admin.Token

	redis  redis.UniversalClient
	ledger *ledger.Ledger
	pacer  *pace.Pacer     // nil in a process that takes removals during a hold too
	adding *pace.Pacer     // beside it, of the calls that give back
	keys   func() error    // nil in a process that nobody calls
	gate   *redisconn.Gate // nil in a process that asks Redis only when it is asked itself
}

func newObservation(c *config.Config, with Parts) *Observation {
	return &Observation{metrics: metrics.New(with.Version), token: &admin.Token{}, redis: with.Redis}
}

// call is for dingtalk.Config.Observe.
func (o *Observation) call(c dingtalk.Call) {
	o.metrics.Call(c)
	o.token.Observe(c)
}

// Handler serves health and metrics, as UNROLE_ADMIN_LISTEN has them.
func (o *Observation) Handler() (http.Handler, error) {
	sources := metrics.Fleet{
		Queues: fleet.NewReader(o.redis, o.ledger).Queues,
		Jobs: func(ctx context.Context) ([]ledger.Job, error) {
			return o.ledger.List(ctx, 0, metrics.RecentJobs)
		},
		Redis: func(ctx context.Context) ([]redisconn.Server, error) {
			return redisconn.Servers(ctx, o.redis)
		},
	}
	conf := admin.Config{HoldIsReady: o.pacer == nil, Redis: o.redisWorks, Keys: o.keys}
	if o.pacer != nil {
		o.metrics.IsWorker()
		sources.Adding = o.adding.Status
		sources.Pace, conf.Pace, conf.Token = o.pacer.Status, o.pacer.Status, o.token
	}
	o.metrics.WatchFleet(sources)
	conf.Metrics = o.metrics.Handler()
	return admin.Handler(conf), nil
}

// redisWorks is nil while Redis does what this process wants of it.
func (o *Observation) redisWorks(ctx context.Context) error {
	if o.gate != nil {
		if r, since, refused := o.gate.Refusal(); refused {
			return fmt.Errorf("it %s; since %s", r.Says, since.UTC().Format(time.RFC3339))
		}
	}
	err := o.redis.Ping(ctx).Err()
	if r, refused := redisconn.Explain(err); refused {
		return errors.New("it " + r.Says)
	}
	return err
}
