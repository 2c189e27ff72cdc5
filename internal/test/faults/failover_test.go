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
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
	"github.com/unrole/unrole/tasks"
)

// lossLimit is how soon calls have to go on after the loss of a master. The takeovers below take some 3 s; a client that
// follows them only when it looks at the topology once a minute needs 59 s and more.
const lossLimit = 20 * time.Second

// removal is a job of calls that have one pair each, in the bulk lane, whose tasks wait in the queue until their call.
type removal struct {
	*testing.T
	ctx   context.Context
	dir   string
	env   []string
	sim   *simtest.Server
	pairs int
}

// newRemoval fills the simulator's directory for a job of so many calls against the Redis of the URL.
func newRemoval(t *testing.T, url string, pairs int) *removal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &removal{T: t, ctx: ctx, dir: t.TempDir(), pairs: pairs,
		sim: simtest.Start(t, simulator.Options{Seed: 1, Latency: 20 * time.Millisecond})}
	r.env = environment(r.dir, url, r.sim)
	for i := range pairs {
		r.sim.Grant(r.pair(i))
	}
	return r
}

// pair is a user and a role of their own, so that each pair is a call of its own.
func (r *removal) pair(i int) (string, int64) {
	return fmt.Sprintf("employee%03d", i), 1507113500 + int64(i)
}

// submit submits the pairs from one to another as a job, with more flags.
func (r *removal) submit(job string, from, to int, flags ...string) {
	r.Helper()
	var rows strings.Builder
	rows.WriteString("user_id,role_id\n")
	for i := from; i < to; i++ {
		user, role := r.pair(i)
		fmt.Fprintf(&rows, "%s,%d\n", user, role)
	}
	file := filepath.Join(r.dir, job+".csv")
	if err := os.WriteFile(file, []byte(rows.String()), 0o600); err != nil {
		r.Fatal(err)
	}
	args := append([]string{"enqueue", file, "--job-id", job, "--priority", tasks.QueueBulk, "--yes"}, flags...)
	if s, err := run(r.ctx, r.env, args...); err != nil || s.code != 0 {
		r.Fatalf("enqueue: %v %v", err, s)
	}
}

// work starts a worker. end ends it as an operator does.
func (r *removal) work() (end func()) {
	r.Helper()
	worker, err := start(r.dir, r.env, "worker")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = worker.cmd.Process.Kill()
		<-worker.ended
		if r.Failed() {
			r.Logf("the worker's last lines:\n%s", lastLines(worker.output(), 40))
		}
	})
	return func() {
		r.Helper()
		worker.askToEnd()
		if !worker.endsWithin(30*time.Second) || worker.err != nil {
			r.Errorf("the worker was asked to end: %v\n%s", worker.err, lastLines(worker.output(), 20))
		}
	}
}

// calls waits for so many calls in all.
func (r *removal) calls(n int) {
	r.Helper()
	until(r.ctx, r.T, fmt.Sprintf("%d calls are made", n), func() bool { return r.sim.Stats().Removals >= n })
}

// ends waits for the end of a job, which has to have removed so many pairs.
func (r *removal) ends(l *ledger.Ledger, id string, pairs int64) {
	r.Helper()
	var job ledger.Job
	until(r.ctx, r.T, "job "+id+" ends", func() (ended bool) {
		var err error
		job, err = l.Get(r.ctx, id)
		return err == nil && job.State.Finished()
	})
	if job.Pairs.Removed != pairs || job.Pairs.Total != pairs {
		r.Errorf("job %s counts %+v, not %d removed pairs", id, job.Pairs, pairs)
	}
}

// check checks that nobody holds a role any more, and returns how many pairs were called more than once.
func (r *removal) check() (repeated int) {
	r.Helper()
	held := 0
	for i := range r.pairs {
		user, role := r.pair(i)
		if r.sim.Called(user, role) > 1 {
			repeated++
		}
		if r.sim.Holds(user, role) {
			held++
		}
	}
	if held > 0 {
		r.Errorf("%d pairs are still held", held)
	}
	return repeated
}

// lossOf plays a job of 300 calls against the Redis of the URL, which loses a master in the middle, and checks that calls
// go on soon and everything is removed and counted without a person.
func lossOf(t *testing.T, url string, rdb redis.UniversalClient, lose func()) {
	t.Helper()
	r := newRemoval(t, url, 300)
	r.submit("job", 0, r.pairs)
	end := r.work()
	r.calls(60)
	before := r.sim.Stats().Removals
	lost := time.Now()
	lose()
	soon, cancel := context.WithDeadline(r.ctx, lost.Add(lossLimit))
	defer cancel()
	// What was granted before the loss may still be called.
	until(soon, t, "calls go on", func() bool { return r.sim.Stats().Removals >= before+3 })
	wentOn := time.Since(lost)
	r.ends(ledger.New(rdb, 0), "job", int64(r.pairs))
	t.Logf("calls went on %.1f s after the loss, all was done after %.1f s; %d calls, %d pairs were called twice", wentOn.Seconds(),
		time.Since(lost).Seconds(), r.sim.Stats().Removals, r.check())
	end()
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
	for name, keys := range map[string]string{"queue": "asynq:{bulk}:*", "record": "unrole:job:{job}*", "pace": "unrole:{pace:*"} {
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
	for i := range 2 * masters {
		n := redistest.Start(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1500")
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
			err = c.ClusterMeet(ctx, host, port).Err()
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
	var watching sync.WaitGroup
	defer watching.Wait()
	lossOf(t, "redis-cluster://"+strings.Join(addrs, ","), rdb, func() {
		for i, n := range nodes[:masters] {
			if found, err := n.Client().Keys(t.Context(), keys).Result(); err != nil || len(found) == 0 {
				continue
			}
			n.Kill()
			lost, replica := time.Now(), nodes[masters+i].Client()
			watching.Go(func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for time.Since(lost) < lossLimit && t.Context().Err() == nil {
					<-tick.C
					if role, err := replica.Info(t.Context(), "replication").Result(); err == nil && strings.Contains(role, "role:master") {
						t.Logf("the replica took over %.1f s after the loss", time.Since(lost).Seconds())
						return
					}
				}
			})
			return
		}
		t.Errorf("no master has keys %s", keys)
	})
}

// TestWhatALaggingReplicaLosesIsDoneAgain puts a replica that has missed the last second in the place of its master. The
// calls of that second are repeated, the job ends counted, and of the jobs that were acknowledged in that second one is
// done whose tasks the worker had taken, and the other is gone until it is submitted again with its id.
func TestWhatALaggingReplicaLosesIsDoneAgain(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	rdb := replica.Client()
	way := startProxy(t, master.Addr, 1)
	r := newRemoval(t, way.url(), 400)
	l := ledger.New(rdb, 0)

	r.submit("early", 0, 330) // 16 s of calls, all that follows has to happen in
	end := r.work()
	r.calls(40)
	until(r.ctx, t, "the replica is in step", func() bool {
		role, err := rdb.Info(r.ctx, "replication").Result()
		return err == nil && strings.Contains(role, "master_link_status:up")
	})
	if err := rdb.Do(r.ctx, "replicaof", "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	missed := r.sim.Stats().Removals
	r.submit("taken", 330, 350)
	inspector := asynq.NewInspectorFromRedisClient(master.Client())
	until(r.ctx, t, "the worker has taken every task", func() bool {
		lane, err := inspector.GetQueueInfo(tasks.QueueBulk)
		return err == nil && lane.Pending == 0
	})
	// What is due later no worker has in its hands.
	r.submit("late", 350, 400, "--at", time.Now().Add(time.Hour).Format(time.RFC3339))
	r.calls(missed + 20)
	master.Kill()
	way.turnTo(replica.Addr)

	r.ends(l, "early", 330)
	r.ends(l, "taken", 20)
	var unknown *ledger.NotFoundError
	if _, err := l.Get(r.ctx, "late"); !errors.As(err, &unknown) {
		t.Errorf("the job that the replica never heard of: %v", err)
	}
	r.submit("late", 350, 400)
	r.ends(l, "late", 50)
	repeated := r.check()
	t.Logf("%d calls for 400 batches, %d pairs were called twice", r.sim.Stats().Removals, repeated)
	if repeated == 0 {
		t.Error("no call was repeated: the replica has missed nothing")
	}
	end()
}
