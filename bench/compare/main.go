// Command compare runs what people would do otherwise beside unrole: the same removals, the same simulated DingTalk, the
// same Redis server, at 20 calls a second, all ways beside each other and in real time.
//
//	go run ./bench/compare                        # starts redis-server itself; up to a quarter of an hour, most of it asynq's retries
//	go run ./bench/compare -svg docs/compare.svg  # draws the picture of the README as well
//
// It prints, for each workload and each way of doing it, the median and, where they differ, the range of five runs: calls,
// how many of them DingTalk did not take, seconds until all was done, pairs that could have been removed and still are
// there at the end ("left"), and such pairs that were reported as failed ("blamed"). Ways are in ways.go, the workloads here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/bench/internal/rig"
	"github.com/unrole/unrole/internal/in/cover/covertest"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/simulator"
)

// apart is how long after each other runs begin, so that the bursts of several do not meet.
const apart = 15 * time.Second

// longest bounds a measurement. What alone would take more than half of it is left out: one call for each of 2,000 people at a second each.
const longest = 30 * time.Minute

// pair is one (user, role).
type pair struct {
	user string
	role int64
}

// person is one user with the roles to lose.
type person struct {
	id    string
	roles []int64
}

// workload is a set of removals and the DingTalk that they meet.
type workload struct {
	name   string
	people []person
	bad    map[string]bool // users that DingTalk refuses
	gone   map[int64]bool  // roles that DingTalk refuses
	busy   float64
	// within is the time in which the people come in, one removal each; 0 is all at once, as one file. Only unrole is made
	// to wait for them; the others begin with all of them.
	within time.Duration
}

// company is 80 roles by department and title, as bench/cover draws it.
func company(users int) []person {
	people := make([]person, users)
	for u, roles := range covertest.Large(users).Draw(1).Roles {
		people[u].id = fmt.Sprintf("u%04d", u)
		for _, r := range roles {
			people[u].roles = append(people[u].roles, 1507113000+int64(r))
		}
	}
	return people
}

// leavers are the people of the README's example.
func leavers() ([]person, error) {
	file, err := os.Open("examples/leavers.csv")
	if err != nil {
		return nil, fmt.Errorf("the command runs in the checkout's root: %w", err)
	}
	defer file.Close()
	var people []person
	_, err = lists.Read(file, lists.Options{Name: file.Name()}, func(row lists.Row) error {
		p := person{id: row.People[0].Text}
		for _, role := range row.Roles {
			p.roles = append(p.roles, role.ID)
		}
		people = append(people, p)
		return nil
	})
	return people, err
}

func workloads() ([]workload, error) {
	few, err := leavers()
	if err != nil {
		return nil, err
	}
	bad := map[string]bool{}
	for i := 50; i < len(few); i += 100 {
		bad[few[i].id] = true
	}
	return []workload{
		{name: "300 leavers", people: few},
		{name: "300 leavers, 3 bad users, 1 bad role", people: few, bad: bad, gone: map[int64]bool{few[0].roles[0]: true}},
		{name: "300 leavers, 20 % of calls busy", people: few, busy: 0.2},
		{name: "2,000 people in 2 s, one removal each", people: company(2000), within: 2 * time.Second},
	}, nil
}

func (w workload) good(p pair) bool { return !w.bad[p.user] && !w.gone[p.role] }

// result is what a way came to on a workload in one run.
type result struct {
	workload, way string
	calls, wasted int
	seconds       float64
	left, blamed  int // pairs that DingTalk would remove
	err           error
}

// row is the results of all runs of a way on a workload.
type row []result

// column is one figure of the table.
type column struct {
	name  string
	width int
	of    func(result) float64
}

var (
	made    = column{"calls", 15, func(r result) float64 { return float64(r.calls) }}
	wasted  = column{"not taken", 12, func(r result) float64 { return float64(r.wasted) }}
	seconds = column{"seconds", 15, func(r result) float64 { return r.seconds }}
	left    = column{"left", 10, func(r result) float64 { return float64(r.left) }}
	blamed  = column{"blamed", 10, func(r result) float64 { return float64(r.blamed) }}
)

// figure is the median of what the runs have, with the range if there is one.
func (r row) figure(c column) (median float64, text string) {
	all := make([]float64, len(r))
	for i := range r {
		all[i] = math.Round(c.of(r[i]))
	}
	slices.Sort(all)
	median, low, high := all[len(all)/2], all[0], all[len(all)-1]
	if low == high {
		return median, fmt.Sprintf("%.0f", median)
	}
	return median, fmt.Sprintf("%.0f (%.0f–%.0f)", median, low, high)
}

func main() {
	url := rig.RedisFlag()
	svg := flag.String("svg", "", "file to draw the calls into")
	kill := flag.Bool("kill", false, "run two workers besides, and kill the one that leads after a second")
	latency := flag.Duration("latency", 50*time.Millisecond, "time that a call takes")
	runs := flag.Int("runs", 5, "runs, begun a quarter of a minute apart; an odd number has a median of its own")
	flag.Parse()
	rig.Main(func(ctx context.Context) error {
		if *kill {
			binary, remove, err := rig.Build(ctx)
			if err != nil {
				return err
			}
			defer remove()
			ways = append(ways, way{name: "unrole, killed", remove: throughTwoWorkers(binary)})
		}
		return run(ctx, *url, *svg, *latency, *runs)
	})
}

func run(ctx context.Context, url, svg string, latency time.Duration, runs int) error {
	if runs < 1 {
		return errors.New("-runs is less than 1")
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	all, err := workloads()
	if err != nil {
		return err
	}
	store, err := rig.OpenRedis(ctx, url, "--databases", strconv.Itoa(runs*len(all)*len(ways)))
	if err != nil {
		return err
	}
	defer store.Close()
	var rows []row
	var running sync.WaitGroup
	for _, load := range all {
		for _, way := range ways {
			if way.whole && load.within > 0 || way.serial && time.Duration(len(load.people))*latency > longest/2 {
				continue
			}
			r := make(row, runs)
			for i := range r {
				store.Options.DB = len(rows)*runs + i
				rdb := store.Client()
				defer rdb.Close()
				running.Go(func() {
					select {
					case <-time.After(time.Duration(i) * apart):
						r[i] = measure(ctx, load, way, latency, uint64(i+1), rdb)
					case <-ctx.Done():
						r[i].err = ctx.Err()
					}
				})
			}
			rows = append(rows, r)
		}
	}
	running.Wait()
	for _, r := range rows {
		for _, one := range r {
			if one.err != nil {
				return fmt.Errorf("%s, %s: %w", one.workload, one.way, one.err)
			}
		}
	}
	table(rows, made, wasted, seconds, left, blamed)
	if svg == "" {
		return nil
	}
	return os.WriteFile(svg, draw(rows), 0o644)
}

// table prints the results, each workload named once.
func table(rows []row, columns ...column) {
	line := func(workload, way string, text func(column) string) {
		fmt.Printf("%-38s %-16s", workload, way)
		for _, c := range columns {
			fmt.Printf(" %*s", c.width, text(c))
		}
		fmt.Println()
	}
	line("", "", func(c column) string { return c.name })
	last := ""
	for _, r := range rows {
		name := r[0].workload
		if name == last {
			name = ""
		}
		last = r[0].workload
		line(name, r[0].way, func(c column) string { _, text := r.figure(c); return text })
	}
}

// measure runs a way on a workload of its own DingTalk and Redis database.
func measure(ctx context.Context, load workload, way way, latency time.Duration, seed uint64, rdb *redis.Client) result {
	res := result{workload: load.name, way: way.name}
	var mu sync.Mutex
	sim := simulator.New(simulator.Options{Seed: seed, QPS: rig.QPS, Busy: load.busy, Latency: latency, KeepCalls: -1,
		Observe: func(c simulator.Call) {
			mu.Lock()
			defer mu.Unlock()
			res.calls++
			if c.Code != "0" {
				res.wasted++
			}
		}})
	for _, p := range load.people {
		sim.Grant(p.id, p.roles...)
	}
	for id := range load.bad {
		sim.SetUser(simulator.Invalid, id)
	}
	for id := range load.gone {
		sim.SetRole(simulator.Invalid, id)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	calls, err := newCalls(server.URL)
	if err != nil {
		res.err = err
		return res
	}
	defer calls.client.Close()
	began := time.Now()
	failed, err := way.remove(ctx, load, calls, rdb)
	mu.Lock()
	defer mu.Unlock()
	res.seconds, res.err = time.Since(began).Seconds(), err
	for _, p := range load.people {
		for _, role := range p.roles {
			one := pair{p.id, role}
			if !load.good(one) {
				continue
			}
			if sim.Holds(p.id, role) {
				res.left++
			}
			if failed[one] {
				res.blamed++
			}
		}
	}
	return res
}
