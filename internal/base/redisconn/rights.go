package redisconn

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// The smallest Redis user that unrole works with. A test of internal/app runs everything as that user, and finds every
// command here in what was sent.
var (
	keyPatterns     = []string{"asynq:*", "unrole:*", "{unrole:*"} // the last are the terms of leases
	channelPatterns = []string{"asynq:*", "unrole:*"}

	// tried are the commands that the probe tries in a script, each with arguments that do no harm: KEY is a key that exists
	// only while the probe runs, NONE one that never does.
	tried = [][]string{
		{"set", "KEY", "1"}, {"setex", "KEY", "60", "1"}, {"get", "NONE"}, {"del", "KEY"}, {"exists", "NONE"}, {"unlink", "NONE"}, {"type", "NONE"},
		{"incr", "KEY"}, {"expire", "KEY", "60"}, {"expireat", "NONE", "1"}, {"pexpire", "KEY", "60000"}, {"persist", "NONE"}, {"ttl", "NONE"}, {"pttl", "NONE"}, {"del", "KEY"},
		{"hset", "KEY", "f", "1"}, {"hsetnx", "KEY", "f", "1"}, {"hincrby", "KEY", "f", "1"}, {"hget", "NONE", "f"}, {"hgetall", "NONE"}, {"hmget", "NONE", "f"},
		{"hdel", "NONE", "f"}, {"hexists", "NONE", "f"}, {"hlen", "NONE"}, {"hkeys", "NONE"}, {"hvals", "NONE"}, {"hscan", "NONE", "0"}, {"del", "KEY"},
		{"lpush", "KEY", "1"}, {"rpush", "KEY", "1"}, {"lrange", "NONE", "0", "0"}, {"llen", "NONE"}, {"lindex", "NONE", "0"}, {"lpos", "NONE", "1"}, {"lrem", "NONE", "0", "1"}, {"rpoplpush", "NONE", "NONE"}, {"del", "KEY"},
		{"sadd", "KEY", "1"}, {"srem", "NONE", "1"}, {"smembers", "NONE"}, {"sismember", "NONE", "1"}, {"del", "KEY"},
		{"zadd", "KEY", "1", "m"}, {"zrem", "NONE", "m"}, {"zcard", "NONE"}, {"zscore", "NONE", "m"}, {"zmscore", "NONE", "m"}, {"zrange", "NONE", "0", "0"},
		{"zrevrange", "NONE", "0", "0"}, {"zrangebyscore", "NONE", "0", "0"}, {"zrevrangebyscore", "NONE", "0", "0"}, {"zremrangebyscore", "NONE", "0", "0"},
		{"zremrangebyrank", "NONE", "0", "0"}, {"zscan", "NONE", "0"}, {"del", "KEY"},
		{"xadd", "KEY", "*", "f", "1"}, {"xlen", "NONE"}, {"xtrim", "NONE", "MINID", "1"}, {"xrange", "NONE", "-", "+", "COUNT", "1"}, {"copy", "NONE", "KEY"}, {"rename", "NONE", "KEY"}, {"del", "KEY"},
		{"scan", "0", "COUNT", "1"}, {"time"}, {"ping"}, {"info", "server"},
	}
	// besides are the commands of every client, and those that load and run scripts.
	besides = []string{"blmove", "evalsha", "eval", "script|load", "subscribe", "psubscribe", "unsubscribe", "punsubscribe", "publish", "hello", "select", "multi", "exec"}
	// optional are commands whose lack costs a figure or a warning: the size of a queue, settings that INFO does not tell.
	optional = []string{"memory|usage", "config|get"}
)

// commands of the smallest user, sorted, those in scripts included.
func commands() []string {
	all := slices.Clone(besides)
	for _, c := range tried {
		all = append(all, c[0])
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// ACL is what ACL SETUSER wants for the smallest user that works, without its name and password. clustered adds what a
// client of a Cluster asks.
func ACL(clustered bool) []string {
	rules := []string{"resetkeys", "resetchannels", "-@all"}
	for _, p := range keyPatterns {
		rules = append(rules, "~"+p)
	}
	for _, p := range channelPatterns {
		rules = append(rules, "&"+p)
	}
	for _, c := range append(commands(), optional...) {
		rules = append(rules, "+"+c)
	}
	if clustered {
		rules = append(rules, "+cluster|slots", "+cluster|shards", "+readonly", "+asking", "+command")
	}
	return rules
}

var (
	//go:embed lua/rights.lua
	probeLua    string
	probeScript = redis.NewScript(probeLua)
)

// undeclaredScript reads a key that it does not declare, as asynq's scripts do; both are in one slot.
var undeclaredScript = redis.NewScript(`return redis.call('EXISTS', KEYS[1], ARGV[1] .. '2')`)

// MissingRights tries, without harm, everything that unrole does in this Redis, and names what the user may not do, in
// the words of ACL SETUSER: "+hset", "~unrole:*", "&unrole:*". Where it may do everything, it is empty.
func MissingRights(ctx context.Context, client redis.UniversalClient) ([]string, error) {
	var missing []string
	add := func(rule string) {
		if !slices.Contains(missing, rule) {
			missing = append(missing, rule)
		}
	}
	list, err := json.Marshal(tried)
	if err != nil {
		return nil, err
	}
	for _, pattern := range keyPatterns {
		prefix := strings.TrimSuffix(pattern, "*")
		keys := []string{prefix + "{doctor}:key", prefix + "{doctor}:none"}
		// Is it the keys, or a command? One that is allowed on other keys tells.
		reply, err := probeScript.Run(ctx, client, keys, list).StringSlice()
		if r, refused := Explain(err); refused {
			if r.Code == "NOPERM" && strings.Contains(err.Error(), "key") {
				add("~" + pattern)
				continue
			}
			if r.Code == "NOPERM" {
				add("+evalsha +eval")
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("try what this user may do: %w", err)
		}
		for _, command := range reply {
			add("+" + command)
		}
	}
	// Scripts may not block, so this one is tried outside of them.
	none := strings.TrimSuffix(keyPatterns[0], "*") + "{doctor}:none"
	if r, refused := Explain(client.Do(ctx, "blmove", none, none, "right", "right", "0.01").Err()); refused && r.Code == "NOPERM" {
		add("+blmove")
	}
	// A channel that nobody listens to.
	for _, pattern := range channelPatterns {
		channel := strings.TrimSuffix(pattern, "*") + "{doctor}:news"
		if r, refused := Explain(client.Publish(ctx, channel, "").Err()); refused && r.Code == "NOPERM" {
			add("+publish &" + pattern)
		}
		sub := client.Subscribe(ctx, channel)
		_, err := sub.Receive(ctx)
		sub.Close()
		if r, refused := Explain(err); refused && r.Code == "NOPERM" {
			add("+subscribe &" + pattern)
		}
	}
	if r, refused := Explain(client.ScriptLoad(ctx, "return 1").Err()); refused && r.Code == "NOPERM" {
		add("+script|load")
	}
	slices.Sort(missing)
	return missing, nil
}
