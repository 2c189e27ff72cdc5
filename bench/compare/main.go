// Command compare runs what people would do otherwise beside unrole: the same removals, the same simulated DingTalk, the
// same Redis server, at 20 calls a second, all at once and in real time.
//
//	go run ./bench/compare                        # starts redis-server itself; two to three minutes
//	go run ./bench/compare -svg docs/compare.svg  # draws the picture of the README as well
//
// It prints, for each workload and each way of doing it: calls, how many of them DingTalk did not take, seconds until all
// was done, pairs that could have been removed and still are there at the end ("left"), and such pairs that were reported
// as failed ("blamed"). Ways are in ways.go, the workloads here.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/cover/covertest"
	"github.com/unrole/unrole/internal/dingtalk/dingtalktest"
)

// qps is DingTalk's limit, which every way keeps.
const qps = 20

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
	// within is the time in which the people come in, one removal each; 0 is all at once, as one file.
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
	in, _, err := enqueue.Read(file, enqueue.ReadOptions{Name: file.Name(), Format: enqueue.FormatCSV})
	if err != nil {
		return nil, err
	}
	people := make([]person, len(in.Users()))
	for u, id := range in.Users() {
		people[u].id = id
		for _, r := range in.RolesOf(u) {
			people[u].roles = append(people[u].roles, in.Roles()[r])
		}
	}
	return people, nil
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
		{name: "300 leavers, 1 % bad ids", people: few, bad: bad, gone: map[int64]bool{few[0].roles[0]: true}},
		{name: "300 leavers, 20 % busy", people: few, busy: 0.2},
		{name: "2,000 single removals in 2 s", people: company(2000), within: 2 * time.Second},
	}, nil
}

func (w workload) good(p pair) bool { return !w.bad[p.user] && !w.gone[p.role] }

// result is what a way came to on a workload.
type result struct {
	workload, way        string
	calls, wasted        int
	seconds              float64
	left, blamed, wanted int // pairs that DingTalk would remove
	err                  error
}

func main() {
	url := flag.String("redis", "", "address of an empty Redis to use instead of starting one, host:port")
	svg := flag.String("svg", "", "file to draw the calls into")
	flag.Parse()
	if err := run(*url, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(addr, svg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	all, err := workloads()
	if err != nil {
		return err
	}
	if addr == "" {
		var stop func()
		if addr, stop, err = startRedis(ctx); err != nil {
			return err
		}
		defer stop()
	}
	results := make([]result, len(all)*len(ways))
	var running sync.WaitGroup
	for i, load := range all {
		for j, way := range ways {
			rdb := redis.NewClient(&redis.Options{Addr: addr, DB: i*len(ways) + j, DisableIdentity: true})
			defer rdb.Close()
			running.Go(func() { results[i*len(ways)+j] = measure(ctx, load, way, rdb) })
		}
	}
	running.Wait()
	last := ""
	fmt.Printf("%-29s %-16s %6s %7s %9s %6s %7s\n", "", "", "calls", "wasted", "time", "left", "blamed")
	for _, r := range results {
		if r.err != nil {
			return fmt.Errorf("%s, %s: %w", r.workload, r.way, r.err)
		}
		name := r.workload
		if name == last {
			name = ""
		}
		last = r.workload
		fmt.Printf("%-29s %-16s %6d %7d %7.1f s %6d %7d\n", name, r.way, r.calls, r.wasted, r.seconds, r.left, r.blamed)
	}
	if svg == "" {
		return nil
	}
	return os.WriteFile(svg, draw(results), 0o644)
}

// measure runs a way on a workload of its own DingTalk and Redis database.
func measure(ctx context.Context, load workload, way way, rdb *redis.Client) result {
	res := result{workload: load.name, way: way.name}
	var mu sync.Mutex
	sim := dingtalktest.NewSimulator(dingtalktest.Options{Seed: 1, QPS: qps, Busy: load.busy, Latency: 50 * time.Millisecond, KeepCalls: -1,
		Observe: func(c dingtalktest.Call) {
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
		sim.SetUser(dingtalktest.Invalid, id)
	}
	for id := range load.gone {
		sim.SetRole(dingtalktest.Invalid, id)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	client, err := newClient(server.URL)
	if err != nil {
		res.err = err
		return res
	}
	defer client.Close()
	began := time.Now()
	failed, err := way.remove(ctx, load, &calls{client: client, pace: newLimiter()}, rdb)
	mu.Lock()
	defer mu.Unlock()
	res.seconds, res.err = time.Since(began).Seconds(), err
	for _, p := range load.people {
		for _, role := range p.roles {
			one := pair{p.id, role}
			if !load.good(one) {
				continue
			}
			res.wanted++
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

// startRedis starts a redis-server without persistence on a free port of the loopback interface.
func startRedis(ctx context.Context) (addr string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--databases", strconv.Itoa(4*len(ways)))
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("start redis-server (Debian: apt-get install redis-server; or give -redis): %w", err)
	}
	stop = func() { cmd.Process.Kill(); cmd.Wait() }
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, MaxRetries: 20})
	defer rdb.Close()
	if err := rdb.Ping(ctx).Err(); err != nil {
		stop()
		return "", nil, fmt.Errorf("redis-server does not answer: %w", err)
	}
	return addr, stop, nil
}
