package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// way is one way of removing roles. It returns the pairs that it reports as failed.
type way struct {
	name   string
	remove func(ctx context.Context, load workload, c *calls, rdb *redis.Client) (failed map[pair]bool, err error)
	// whole says that it begins with all removals in hand, and is nothing of its own where they come in one by one.
	whole bool
	// serial says that it makes a call for each person, one after the other.
	serial bool
}

var ways = []way{
	{name: "loop over users", remove: loopOverUsers, serial: true},
	{name: "loop over roles", remove: loopOverRoles, whole: true},
	{name: "asynq handler", remove: plainAsynq},
	{name: "unrole", remove: throughUnrole},
}

// calls is the client that every way has: unrole's own, which reads DingTalk's answers rightly, behind a limiter.
type calls struct {
	url    string
	client *dingtalk.Client
	pace   *rate.Limiter
}

// newCalls lets a little less than the limit through, as somebody does who has seen throttling once.
func newCalls(url string) (*calls, error) {
	client, err := dingtalk.New(dingtalk.Config{BaseURL: url, AppKey: simulator.AppKey, AppSecret: simulator.AppSecret})
	return &calls{url, client, rate.NewLimiter(rate.Limit(0.97*rig.QPS), 1)}, err
}

func (c *calls) remove(ctx context.Context, roles []int64, users []string) error {
	if err := c.pace.Wait(ctx); err != nil {
		return err
	}
	_, err := c.client.RemoveRoles(ctx, roles, users)
	return err
}

// persistently tries a call three times, a second apart, as careful scripts do, and gives its pairs up then. Where DingTalk
// refuses an id, the pairs are called one by one.
func (c *calls) persistently(ctx context.Context, roles []int64, users []string, failed map[pair]bool) error {
	for try := 1; ; try++ {
		err := c.remove(ctx, roles, users)
		switch {
		case err == nil || ctx.Err() != nil:
			return ctx.Err()
		case refused(err) && len(roles)*len(users) > 1:
			for _, one := range pairsOf(roles, users) {
				if err := c.persistently(ctx, []int64{one.role}, []string{one.user}, failed); err != nil {
					return err
				}
			}
			return nil
		case refused(err) || try == 3:
			for _, one := range pairsOf(roles, users) {
				failed[one] = true
			}
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

func pairsOf(roles []int64, users []string) []pair {
	var all []pair
	for _, u := range users {
		for _, r := range roles {
			all = append(all, pair{u, r})
		}
	}
	return all
}

// refused reports whether DingTalk named an id as bad.
func refused(err error) bool {
	var e *dingtalk.Error
	return errors.As(err, &e) && outcome.Of(e.Class).Action == outcome.Search
}

// loopOverUsers is the script that calls once per user, with all roles of that user.
func loopOverUsers(ctx context.Context, load workload, c *calls, _ *redis.Client) (map[pair]bool, error) {
	failed := map[pair]bool{}
	for _, p := range load.people {
		for roles := range slices.Chunk(p.roles, tasks.MaxRoles) {
			if err := c.persistently(ctx, roles, []string{p.id}, failed); err != nil {
				return nil, err
			}
		}
	}
	return failed, nil
}

// batch is the pairs of one call.
type batch struct {
	Roles []int64
	Users []string
}

// byRole is what somebody with the whole file makes of it: for each role its users, in hundreds.
func byRole(load workload) []batch {
	var all []batch
	users := map[int64][]string{}
	for _, p := range load.people {
		for _, r := range p.roles {
			users[r] = append(users[r], p.id)
		}
	}
	for _, r := range slices.Sorted(maps.Keys(users)) {
		for chunk := range slices.Chunk(users[r], tasks.MaxUsers) {
			all = append(all, batch{[]int64{r}, chunk})
		}
	}
	return all
}

// loopOverRoles is the script that calls once per role and hundred users.
func loopOverRoles(ctx context.Context, load workload, c *calls, _ *redis.Client) (map[pair]bool, error) {
	failed := map[pair]bool{}
	for _, b := range byRole(load) {
		if err := c.persistently(ctx, b.Roles, b.Users, failed); err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// plainAsynq is the handler that asynq's README leads to: a task per call, for each role of a file or each removal that comes
// in, asynq's own retries, and, where DingTalk refuses an id, one user at a time.
func plainAsynq(ctx context.Context, load workload, c *calls, rdb *redis.Client) (map[pair]bool, error) {
	var jobs []batch
	if load.within > 0 {
		for _, p := range load.people {
			jobs = append(jobs, batch{p.roles, []string{p.id}})
		}
	} else {
		jobs = byRole(load)
	}
	client := asynq.NewClientFromRedisClient(rdb)
	for _, j := range jobs {
		payload, err := json.Marshal(j)
		if err != nil {
			return nil, err
		}
		if _, err := client.EnqueueContext(ctx, asynq.NewTask("remove", payload)); err != nil {
			return nil, err
		}
	}
	failed := map[pair]bool{}
	var mu sync.Mutex
	left := len(jobs)
	done := make(chan struct{})
	fail := func(pairs []pair) {
		mu.Lock()
		defer mu.Unlock()
		for _, one := range pairs {
			failed[one] = true
		}
	}
	end := func() {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			close(done)
		}
	}
	handle := func(ctx context.Context, t *asynq.Task) error {
		var j batch
		if err := json.Unmarshal(t.Payload(), &j); err != nil {
			return err
		}
		err := c.remove(ctx, j.Roles, j.Users)
		if refused(err) {
			for _, u := range j.Users {
				err = c.remove(ctx, j.Roles, []string{u})
				if refused(err) {
					fail(pairsOf(j.Roles, []string{u}))
					err = nil
				}
				if err != nil {
					break
				}
			}
		}
		retried, _ := asynq.GetRetryCount(ctx)
		most, _ := asynq.GetMaxRetry(ctx)
		if err != nil && retried >= most {
			fail(pairsOf(j.Roles, j.Users)) // asynq archives it
			end()
		}
		if err == nil {
			end()
		}
		return err
	}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 10, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(handle)); err != nil {
		return nil, err
	}
	defer server.Shutdown()
	select {
	case <-done:
		return failed, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// throughUnrole submits as the commands do, to one worker.
func throughUnrole(ctx context.Context, load workload, c *calls, rdb *redis.Client) (map[pair]bool, error) {
	working, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	if err := rig.Engines(working, &running, rdb, 1, rig.QPS, c.url, nil); err != nil {
		return nil, err
	}
	return submitted(ctx, load, rdb)
}

// throughTwoWorkers is the same with two processes of the command, of which the one that leads is killed a second after the
// first removal was submitted.
func throughTwoWorkers(binary string) func(context.Context, workload, *calls, *redis.Client) (map[pair]bool, error) {
	return func(ctx context.Context, load workload, c *calls, rdb *redis.Client) (map[pair]bool, error) {
		for range 2 {
			_, stop, err := rig.Worker(binary, rdb, c.url)
			if err != nil {
				return nil, err
			}
			defer stop()
		}
		kill := time.AfterFunc(time.Second, func() {
			if _, pid, err := queue.Leader(ctx, rdb); err == nil && pid != 0 {
				if leader, err := os.FindProcess(pid); err == nil {
					leader.Kill()
				}
			}
		})
		defer kill.Stop()
		return submitted(ctx, load, rdb)
	}
}

// submitted submits the removals, and waits for their end.
func submitted(ctx context.Context, load workload, rdb *redis.Client) (map[pair]bool, error) {
	l := ledger.New(rdb, 0)
	submitter, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		return nil, err
	}
	jobs := map[string]*enqueue.Removals{}
	for i, p := range load.people {
		id := "all"
		if load.within > 0 {
			id = fmt.Sprint("removal-", i)
		}
		if jobs[id] == nil {
			jobs[id] = &enqueue.Removals{}
		}
		for _, r := range p.roles {
			jobs[id].Add(p.id, r)
		}
	}
	ids := slices.Sorted(maps.Keys(jobs))
	began := time.Now()
	errs := make([]error, len(ids))
	var submitting sync.WaitGroup
	for i, id := range ids {
		submitting.Go(func() {
			time.Sleep(time.Until(began.Add(load.within * time.Duration(i) / time.Duration(len(ids)))))
			_, errs[i] = submitter.Submit(ctx, enqueue.Submission{JobID: id, Removals: jobs[id], MaxUsers: -1})
		})
	}
	submitting.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	failed := map[pair]bool{}
	for _, id := range ids {
		if _, err := l.Watch(ctx, id, 20*time.Millisecond, func(ledger.Job, error) error { return nil }); err != nil {
			return nil, err
		}
		err := l.Rows(ctx, id, func(r ledger.Row) error {
			if r.Outcome.Kind == ledger.Dead {
				failed[pair{r.UserID, r.RoleID}] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}
