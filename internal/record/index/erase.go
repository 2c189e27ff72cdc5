package index

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
)

// fieldsAtOnce is how many fields are looked at in a call.
const fieldsAtOnce = 1000

var (
	//go:embed lua/erase.lua
	eraseLua    string
	eraseScript = redis.NewScript(eraseLua)
	//go:embed lua/erasing.lua
	erasingLua    string
	erasingScript = redis.NewScript(erasingLua)
)

// Erase takes people out of every index, one that is being built included, and returns how many signs of theirs there were; dryRun
// counts only. Whoever is still in the directory is in the next index again.
func Erase(ctx context.Context, rdb redis.UniversalClient, userIDs []string, dryRun bool) (int, error) {
	var indexes []string
	err := redisconn.Scan(ctx, rdb, prefix+"*", func(some []string) error {
		for _, key := range some {
			at, _, _ := strings.Cut(key, "}:")
			indexes = append(indexes, at+"}:")
		}
		return nil
	})
	slices.Sort(indexes)
	n := 0
	for _, at := range slices.Compact(indexes) {
		if err == nil && !dryRun {
			err = erasingScript.Run(ctx, rdb, []string{at + "erased"}).Err()
		}
		for _, name := range []string{"people", "next"} {
			if err == nil {
				var of int
				of, err = eraseOf(ctx, rdb, at+name, userIDs, dryRun)
				n += of
			}
		}
	}
	return n, wrapped("erase people", err)
}

func eraseOf(ctx context.Context, rdb redis.UniversalClient, key string, userIDs []string, dryRun bool) (n int, err error) {
	cursor := uint64(0)
	for {
		page, next, err := rdb.HScan(ctx, key, cursor, "", fieldsAtOnce).Result()
		if err != nil {
			return n, err
		}
		for i := 0; i+1 < len(page); i += 2 {
			have := strings.Fields(page[i+1])
			left := slices.DeleteFunc(slices.Clone(have), func(id string) bool { return slices.Contains(userIDs, id) })
			if n += len(have) - len(left); len(left) == len(have) || dryRun {
				continue
			}
			if err := eraseScript.Run(ctx, rdb, []string{key}, page[i], page[i+1], strings.Join(left, " ")).Err(); err != nil {
				return n, err
			}
		}
		if cursor = next; cursor == 0 {
			return n, nil
		}
	}
}
