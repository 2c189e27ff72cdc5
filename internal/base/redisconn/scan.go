package redisconn

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Scan visits all keys of a pattern, some at a time, each that is there all the while at least once; the calls come one after
// the other.
func Scan(ctx context.Context, rdb redis.UniversalClient, pattern string, visit func(some []string) error) error {
	const atOnce = 500
	var one sync.Mutex
	node := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			some, next, err := node.Scan(ctx, cursor, pattern, atOnce).Result()
			if err == nil && len(some) > 0 {
				one.Lock()
				err = visit(some)
				one.Unlock()
			}
			if err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, n *redis.Client) error { return node(ctx, n) })
	}
	return node(ctx, rdb)
}
