package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/dingtalk/dingtalktest"
	"github.com/unrole/unrole/internal/ledger"
	"github.com/unrole/unrole/internal/redistest"
)

// lossOf plays a job of 300 calls against the Redis of the URL, which loses a master in the middle, and checks that
// everything was removed and counted without a person.
func lossOf(t *testing.T, url string, rdb redis.UniversalClient, lose func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	sim := dingtalktest.Start(t, dingtalktest.Options{Seed: 1, Latency: 20 * time.Millisecond})
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("user_id,role_id\n")
	const pairs = 300
	user := func(i int) string { return fmt.Sprintf("employee%03d", i) }
	role := func(i int) int64 { return 1507113500 + int64(i) }
	for i := range pairs {
		// Everybody loses a role of their own, so that each pair is a call of its own.
		sim.Grant(user(i), role(i))
		fmt.Fprintf(&rows, "%s,%d\n", user(i), role(i))
	}
	file := filepath.Join(dir, "leavers.csv")
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "REDIS_URL=" + url, "DINGTALK_BASE_URL=" + sim.URL,
		"DINGTALK_APP_KEY=" + sim.AppKey, "DINGTALK_APP_SECRET=" + sim.AppSecret, "UNROLE_RETRY_BASE=100ms", "UNROLE_RETRY_CAP=2s",
		"UNROLE_LOG_LEVEL=debug", "UNROLE_LOG_FORMAT=json"}
	if s, err := run(ctx, env, "enqueue", file, "--job-id", "job", "--yes"); err != nil || s.code != 0 {
		t.Fatalf("enqueue: %v %v", err, s)
	}
	worker, err := start(dir, env, "worker")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = worker.cmd.Process.Kill(); <-worker.ended })
	until(ctx, t, "60 calls are made", func() bool { return sim.Stats().Removals >= 60 })
	before := sim.Stats().Removals
	lost := time.Now()
	lose()
	// What was granted before the loss may still be called.
	until(ctx, t, "calls go on", func() bool { return sim.Stats().Removals >= before+3 })
	wentOn := time.Since(lost)
	l := ledger.New(rdb, 0)
	var job ledger.Job
	until(ctx, t, "the job ends", func() bool {
		job, err = l.Get(ctx, "job")
		return err == nil && job.State.Finished()
	})
	repeated, held := 0, 0
	for i := range pairs {
		if sim.Called(user(i), role(i)) > 1 {
			repeated++
		}
		if sim.Holds(user(i), role(i)) {
			held++
		}
	}
	t.Logf("calls went on %.1f s after the loss, all was done after %.1f s; %d calls, %d pairs were called twice", wentOn.Seconds(),
		time.Since(lost).Seconds(), sim.Stats().Removals, repeated)
	if held > 0 || job.Pairs.Removed != pairs || job.Pairs.Total != pairs {
		t.Errorf("%d pairs are still held; the job counts %+v\n%s", held, job.Pairs, lastLines(worker.output(), 20))
	}
	worker.signal(syscall.SIGTERM)
	if !worker.endsWithin(30 * time.Second) {
		t.Error("the worker does not end")
	}
}

// until waits until something holds.
func until(ctx context.Context, t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

// TestAJobOutlivesItsMasterBehindSentinel kills the master of a Redis with two replicas and three Sentinels.
func TestAJobOutlivesItsMasterBehindSentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	for range 2 {
		redistest.Start(t, "--replicaof", host+" "+port)
	}
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, startSentinel(t, host, port))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, addr := range sentinels {
		one := redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true})
		defer one.Close()
		until(ctx, t, "the Sentinels know each other and both replicas", func() bool {
			others, err := one.Sentinels(ctx, "unrole").Result()
			replicas, replicasErr := one.Replicas(ctx, "unrole").Result()
			return err == nil && replicasErr == nil && len(others) == 2 && len(replicas) == 2
		})
	}
	rdb := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "unrole", SentinelAddrs: sentinels})
	defer rdb.Close()
	lossOf(t, "redis-sentinel://"+strings.Join(sentinels, ",")+"/0?master=unrole", rdb, master.Kill)
}

// startSentinel starts a Sentinel that watches the master, and returns its address.
func startSentinel(t *testing.T, host, port string) string {
	t.Helper()
	dir, own := t.TempDir(), redistest.Port(t)
	conf := filepath.Join(dir, "sentinel.conf")
	lines := []string{"port " + own, "bind 127.0.0.1", "dir " + dir, "sentinel monitor unrole " + host + " " + port + " 2",
		"sentinel down-after-milliseconds unrole 1000", "sentinel failover-timeout unrole 5000", "sentinel parallel-syncs unrole 1"}
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return net.JoinHostPort("127.0.0.1", own)
}

// TestAJobOutlivesTheLossOfAClusterMaster kills that of three masters which keeps the queue of the job, its record, or the
// pace of the fleet.
func TestAJobOutlivesTheLossOfAClusterMaster(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]string{"queue": "asynq:{default}:*", "record": "unrole:job:{job}*", "pace": "unrole:{pace:*"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lossOfClusterMaster(t, keys)
		})
	}
}

// lossOfClusterMaster kills the master that keeps such keys.
func lossOfClusterMaster(t *testing.T, keys string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const masters, slots = 3, 16384
	var nodes []*redistest.Server
	var addrs, ids []string
	firstBus := ""
	for i := range 2 * masters {
		bus := redistest.Port(t)
		n := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1500",
			"--cluster-port", bus)
		c := n.Client()
		id, err := c.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			t.Fatal(err)
		}
		if i < masters {
			err = c.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err()
		}
		if i > 0 && err == nil {
			// Everybody meets the first one; gossip does the rest.
			host, port, _ := net.SplitHostPort(nodes[0].Addr)
			err = c.Do(ctx, "cluster", "meet", host, port, firstBus).Err()
		} else {
			firstBus = bus
		}
		if err != nil {
			t.Fatal(err)
		}
		nodes, addrs, ids = append(nodes, n), append(addrs, n.Addr), append(ids, id)
	}
	for i := range masters {
		c := nodes[masters+i].Client()
		until(ctx, t, "a node knows its master", func() bool { return c.ClusterReplicate(ctx, ids[i]).Err() == nil })
	}
	for i, n := range nodes {
		c := n.Client()
		until(ctx, t, "the cluster is whole and the replicas are in step", func() bool {
			info, err := c.ClusterInfo(ctx).Result()
			role, roleErr := c.Info(ctx, "replication").Result()
			return errors.Join(err, roleErr) == nil && strings.Contains(info, "cluster_state:ok") &&
				(i < masters && strings.Contains(role, "connected_slaves:1") || i >= masters && strings.Contains(role, "master_link_status:up"))
		})
	}
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer rdb.Close()
	lossOf(t, "redis-cluster://"+strings.Join(addrs, ","), rdb, func() {
		for i, n := range nodes[:masters] {
			if found, err := n.Client().Keys(t.Context(), keys).Result(); err == nil && len(found) > 0 {
				n.Kill()
				began := time.Now()
				replica := nodes[masters+i].Client()
				until(t.Context(), t, "its replica takes over", func() bool {
					role, err := replica.Info(t.Context(), "replication").Result()
					return err == nil && strings.Contains(role, "role:master")
				})
				t.Logf("the replica took over %.1f s after the loss", time.Since(began).Seconds())
				return
			}
		}
		t.Errorf("no master has keys %s", keys)
	})
}
