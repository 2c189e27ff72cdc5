// Command idle measures a worker that has nothing to do: the real binary against a Redis and the simulator.
//
//	go run ./bench/idle
//
// It prints how long the process takes from its start to the first removal it could take, the processor time and memory of
// an idle half minute, what Redis is asked meanwhile, and how long a single removal of each lane takes from its submission
// to DingTalk's call.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/procstat"
	"github.com/unrole/unrole/tasks"
)

func main() {
	url := rig.RedisFlag()
	idle := flag.Duration("idle", 30*time.Second, "time to watch the idle worker for")
	removals := flag.Int("removals", 100, "removals of each lane to time")
	flag.Parse()
	rig.MainWithRedis(*url, func(ctx context.Context, _ *rig.Redis, rdb *redis.Client) error {
		return run(ctx, rdb, *idle, *removals)
	})
}

// arrival is a call that reached DingTalk.
type arrival struct {
	user string
	at   time.Time
}

func run(ctx context.Context, rdb *redis.Client, idle time.Duration, removals int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return err
	}
	arrived := make(chan arrival, 16)
	sim := httptest.NewServer(simulator.New(simulator.Options{Open: true, KeepCalls: -1,
		Observe: func(c simulator.Call) { arrived <- arrival{c.Users[0], c.Arrived} }}))
	defer sim.Close()

	// remove submits one removal and returns when its call arrives.
	number := 0
	remove := func(lane string) (submitted, called time.Time, err error) {
		number++
		user := fmt.Sprintf("idle-%d", number)
		r := &enqueue.Removals{}
		r.Add(user, 1)
		submitted = time.Now()
		if _, err := client.Submit(ctx, enqueue.Submission{JobID: fmt.Sprintf("idle-%d-%d", submitted.UnixNano(), number), Removals: r, Priority: lane}); err != nil {
			return submitted, called, err
		}
		select {
		case a := <-arrived:
			if a.user != user {
				return submitted, called, fmt.Errorf("a call for %s arrived, expected %s: the Redis was not empty", a.user, user)
			}
			return submitted, a.at, nil
		case <-ctx.Done():
			return submitted, called, ctx.Err()
		}
	}

	binary, cleanup, err := rig.Build(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	began := time.Now()
	cmd, stop, err := rig.Worker(binary, rdb, sim.URL)
	if err != nil {
		return err
	}
	defer stop()
	_, called, err := remove(tasks.QueueUrgent)
	if err != nil {
		return err
	}
	fmt.Printf("from the start of the process to the call of a waiting removal  %.0f ms\n", 1000*called.Sub(began).Seconds())

	before, err := look(ctx, rdb, cmd.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-time.After(idle):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := look(ctx, rdb, cmd.Process.Pid)
	if err != nil {
		return err
	}
	seconds := after.at.Sub(before.at).Seconds()
	fmt.Printf("idle: %.1f %% of one processor, Redis %.1f %%, %.0f MB, %.0f commands a second, those in scripts included\n", 100*(after.cpu-before.cpu)/seconds,
		100*(after.redisCPU-before.redisCPU)/seconds, after.megabytes, (after.commands-before.commands)/seconds)

	for _, lane := range tasks.Lanes() {
		var took rig.Times
		for range removals {
			// Apart by more than a slot of the pace, and anywhere between two looks of the worker.
			time.Sleep(100*time.Millisecond + rand.N(100*time.Millisecond))
			submitted, called, err := remove(lane)
			if err != nil {
				return err
			}
			took = append(took, called.Sub(submitted))
		}
		fmt.Printf("%-8s from submission to DingTalk's call: %s\n", lane, took)
	}
	return nil
}

// reading is what a worker and Redis have used so far.
type reading struct {
	at                                 time.Time
	cpu, redisCPU, commands, megabytes float64
}

func look(ctx context.Context, rdb *redis.Client, pid int) (r reading, err error) {
	used, err := procstat.Read(pid)
	if err != nil {
		return r, err
	}
	r.at, r.cpu, r.megabytes = time.Now(), used.CPU.Seconds(), float64(used.Resident)/1e6
	info, err := rdb.InfoMap(ctx, "stats", "cpu").Result()
	if err != nil {
		return r, err
	}
	r.commands, _ = strconv.ParseFloat(info["Stats"]["total_commands_processed"], 64)
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		n, _ := strconv.ParseFloat(info["CPU"][field], 64)
		r.redisCPU += n
	}
	return r, nil
}
