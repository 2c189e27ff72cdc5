package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/httpserve"
)

// drain is how long requests under way at health, metrics and web UI may take to end.
const drain = 5 * time.Second

// serveAdmin serves health and metrics on UNROLE_ADMIN_LISTEN, if that is set, until stop is called: also
// while the process finishes its work after a signal. It returns when it listens.
func serveAdmin(ctx context.Context, c *config.Config, observed *engine.Observation, log zerolog.Logger) (stop func(), err error) {
	if c.AdminListen == "" {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", c.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("UNROLE_ADMIN_LISTEN: %w", err)
	}
	handler, err := observed.Handler()
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
