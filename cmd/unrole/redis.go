package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/run/config"
)

// openRedis connects to the Redis of the configuration and refuses one that would lose removals; the caller closes it.
func openRedis(ctx context.Context, c *config.Config, log zerolog.Logger) (redis.UniversalClient, error) {
	client, warnings, err := redisconn.Open(ctx, c.RedisURL)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn().Msg(w)
	}
	return client, nil
}

// parts is what an engine or an intake of this build is given.
func parts(rdb redis.UniversalClient, log zerolog.Logger) engine.Parts {
	return engine.Parts{Redis: rdb, Version: readBuildInfo().Version, Log: log}
}

// service is what a process works with that serves until it is told to stop: its Redis and its trace. end is for its end.
func (a *app) service(ctx context.Context, c *config.Config, log zerolog.Logger) (with engine.Parts, end func(), err error) {
	rdb, err := openRedis(ctx, c, log)
	if err != nil {
		return with, nil, err
	}
	with = parts(rdb, log)
	stopTracing, err := a.trace(&with)
	if err != nil {
		rdb.Close()
		return with, nil, err
	}
	return with, func() { stopTracing(); rdb.Close() }, nil
}

// fleetPatience is how long a command that needs no Redis tries to reach that of the fleet.
const fleetPatience = 2 * time.Second

// fleetOf connects to the Redis of the fleet for a command that looks things up: over it, its lookups share the fleet's pace. Nil is
// none: nobody said which it is and the command needs none, or it does not answer. The caller calls closeIt.
func (a *app) fleetOf(cmd *cobra.Command, c *config.Config) (rdb redis.UniversalClient, closeIt func()) {
	if !c.RedisGiven && cmd.Flags().Lookup("redis") == nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), fleetPatience)
	defer cancel()
	redisconn.LogTo(a.logger(c))
	client, _, err := redisconn.Open(ctx, c.RedisURL)
	if err != nil {
		a.note(texts.T("the fleet's Redis cannot be used, and so its pace is not shared: %v", err))
		return nil, func() {}
	}
	return client, func() { client.Close() }
}

// memoryRedis starts a Redis in this process, for commands that need none outside.
func memoryRedis() (rdb *redis.Client, closeAll func(), err error) {
	memory := miniredis.NewMiniRedis()
	if err := memory.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the queue in memory: %w", err)
	}
	rdb = redis.NewClient(&redis.Options{Addr: memory.Addr(), DisableIdentity: true})
	return rdb, func() {
		rdb.Close()
		memory.Close()
	}, nil
}
