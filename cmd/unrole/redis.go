package main

import (
	"context"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/config"
	"github.com/unrole/unrole/internal/redisconn"
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
