package app_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// seldom are commands that this history does not send: asynq's own for what it archives and recovers, and those of pages.
var seldom = []string{"lpos", "zremrangebyrank", "setex", "expire", "ttl", "incr", "unlink", "persist", "pttl", "rpush", "srem", "zscan", "hscan", "hkeys", "type", "hsetnx", "hdel", "hexists",
	"xlen", "xrange", "xtrim", "scan", "zrevrange", "zremrangebyscore", "zscore", "zmscore", "punsubscribe", "unsubscribe", "psubscribe", "eval", "hello", "select", "multi", "exec", "time", "ping", "info",
	"publish", "del", "lindex", "lrange"}

func TestTheSmallestRedisUserIsEnoughForEverything(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client()
	rules := []any{"ACL", "SETUSER", "unrole", "on", ">right"}
	for _, r := range redisconn.ACL(false) {
		rules = append(rules, r)
	}
	if err := admin.Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	url := "redis://unrole:right@" + server.Addr
	opened, warnings, err := redisconn.Open(t.Context(), url)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v %q", err, warnings)
	}
	rdb := opened.(*redis.Client)
	defer rdb.Close()
	if missing, err := redisconn.MissingRights(t.Context(), rdb); err != nil || len(missing) > 0 {
		t.Fatalf("%v %q", err, missing)
	}
	if err := admin.Do(t.Context(), "CONFIG", "RESETSTAT").Err(); err != nil {
		t.Fatal(err)
	}

	defer func() { // also where it came to nothing
		denied, err := admin.ACLLog(context.Background(), 20).Result()
		if err != nil {
			t.Error(err)
		}
		for _, d := range denied {
			t.Errorf("the user misses %s %s (%s)", d.Reason, d.Object, d.Context)
		}
	}()
	sim := simtest.Start(t, simulator.Options{Open: true, GoneUsers: []string{"gone"}, QPS: 50})
	conf := enginetest.Config(sim)
	conf.RedisURL, conf.AuditFile = url, filepath.Join(t.TempDir(), "audit.jsonl")
	with := app.Parts{Redis: rdb}
	e, stop := enginetest.Start(t, conf, with)
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, id := range []string{"one", "two"} {
		r := &enqueue.Removals{}
		for _, user := range []string{"a", "gone", "c"} {
			r.Add(user, 7)
		}
		if _, err := client.Submit(ctx, enqueue.Submission{JobID: id, Removals: r}); err != nil {
			t.Fatal(err)
		}
	}
	late := &enqueue.Removals{}
	late.Add("z", 7)
	if _, err := client.Submit(ctx, enqueue.Submission{JobID: "late", Removals: late, At: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"one", "two"} {
		if job, err := e.Ledger.Watch(ctx, id, 10*time.Millisecond, func(ledger.Job, error) error { return nil }); err != nil || job.Pairs.Removed != 2 || job.Pairs.Dead != 1 {
			t.Fatalf("%+v %v", job, err)
		}
	}
	if _, err := e.Ledger.Cancel(ctx, "late", "test", "over"); err != nil {
		t.Error(err)
	}
	letters := deadletter.New(rdb, e.Ledger)
	for _, act := range []func(context.Context, *deadletter.Selection, deadletter.Order) (deadletter.Done, error){letters.Replay, letters.Discard} {
		chosen, err := letters.Select(ctx, deadletter.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := act(ctx, chosen, deadletter.Order{By: "test", Why: "test"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := e.Ledger.Rounds(0, 0).Stalled(ctx); err != nil {
		t.Error(err)
	}
	for _, err := range e.Ledger.All(ctx) {
		if err != nil {
			t.Error(err)
		}
	}
	reader := fleet.NewReader(rdb, e.Ledger)
	if _, err := reader.Queues(ctx); err != nil {
		t.Error(err)
	}
	if _, err := reader.Workers(ctx); err != nil {
		t.Error(err)
	}
	stop()

	stats, err := admin.InfoMap(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range redisconn.ACL(false) {
		command, allowed := strings.CutPrefix(rule, "+")
		if _, used := stats["Commandstats"]["cmdstat_"+command]; allowed && !used && !slices.Contains(seldom, command) && !strings.Contains(command, "|") {
			t.Errorf("%s was never sent", command)
		}
	}
}
