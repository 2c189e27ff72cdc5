package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/admin"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/internal/run/metrics"
)

// observation is what a process tells about itself and its fleet on the admin address.
type observation struct {
	metrics *metrics.Metrics
	token   *admin.Token
}

func newObservation() *observation {
	return &observation{metrics: metrics.New(readBuildInfo().Version), token: &admin.Token{}}
}

// call is for dingtalk.Config.Observe.
func (o *observation) call(c dingtalk.Call) {
	o.metrics.Call(c)
	o.token.Observe(c)
}

// admitted says what an admin address looks at besides its own process.
type admitted struct {
	redis  redis.UniversalClient
	pacer  *pace.Pacer
	ledger *ledger.Ledger
	// holdIsReady is for the intake, which takes removals during a hold too.
	holdIsReady bool
}

// drain is how long requests under way at health, metrics and web UI may take to end.
const drain = 5 * time.Second

// serveAdmin serves health and metrics on UNROLE_ADMIN_LISTEN, if that is set, until stop is called: also
// while the process finishes its work after a signal. It returns when it listens.
func (o *observation) serveAdmin(ctx context.Context, c *config.Config, of admitted, log zerolog.Logger) (stop func(), err error) {
	if c.AdminListen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", c.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("UNROLE_ADMIN_LISTEN: %w", err)
	}
	handler, err := o.adminHandler(c, of)
	if err != nil {
		l.Close()
		return nil, err
	}
	log.Info().Str("address", l.Addr().String()).Msg("health and metrics are served")
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := httpserve.Serve(serving, l, handler, drain, log); err != nil {
			log.Error().Err(err).Msg("health and metrics are served no more")
		}
	}()
	return func() { end(); <-ended }, nil
}

func (o *observation) adminHandler(c *config.Config, of admitted) (http.Handler, error) {
	target, err := redisconn.Parse(c.RedisURL)
	if err != nil {
		return nil, err
	}
	sources := metrics.Fleet{
		Queues: fleet.NewReader(of.redis, of.ledger).Queues,
		Jobs: func(ctx context.Context) ([]ledger.Job, error) {
			return of.ledger.List(ctx, 0, metrics.RecentJobs)
		},
		Redis: func(ctx context.Context) ([]redisconn.Server, error) {
			report, err := redisconn.Check(ctx, target, of.redis)
			return report.Servers, err
		},
	}
	conf := admin.Config{HoldIsReady: of.holdIsReady,
		Redis: func(ctx context.Context) error { return of.redis.Ping(ctx).Err() }}
	if of.pacer != nil {
		sources.Pace, conf.Pace, conf.Token = of.pacer.Status, of.pacer.Status, o.token
	}
	o.metrics.WatchFleet(sources)
	conf.Metrics = o.metrics.Handler()
	return admin.Handler(conf), nil
}
