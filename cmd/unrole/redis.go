package main

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/redisconn"
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
