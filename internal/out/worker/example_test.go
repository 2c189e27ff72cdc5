package worker_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/out/worker"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
)

// A removal on its whole way: submitted, carried out by a worker at a simulated DingTalk that does not know one of the users,
// and read from the ledger.
func Example() {
	memory, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer memory.Close()
	rdb := redis.NewClient(&redis.Options{Addr: memory.Addr(), DisableIdentity: true})
	defer rdb.Close()
	sim := simulator.New(simulator.Options{})
	sim.Grant("manager4220", 1507113578, 1507113579)

	client, err := dingtalk.New(dingtalk.Config{AppKey: simulator.AppKey, AppSecret: simulator.AppSecret, HTTP: &http.Client{Transport: sim.Transport()}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	pacer, err := pace.New(rdb, pace.Config{App: "example", QPS: 20})
	if err != nil {
		log.Fatal(err)
	}
	records := ledger.New(rdb, 0)
	w, err := worker.New(worker.Config{Redis: rdb, DingTalk: client, Pacer: pacer, Ledger: records})
	if err != nil {
		log.Fatal(err)
	}
	working, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { pacer.Run(working) })
	running.Go(func() {
		if err := w.Run(working); err != nil {
			log.Fatal(err)
		}
	})

	submitter, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		log.Fatal(err)
	}
	removals, err := enqueue.FromLists([]string{"manager4220", "left-long-ago"}, []int64{1507113578, 1507113579})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := submitter.Submit(working, enqueue.Submission{JobID: "example", Removals: removals}); err != nil {
		log.Fatal(err)
	}
	job, err := records.Watch(working, "example", 10*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil {
		log.Fatal(err)
	}
	stop()
	running.Wait()
	fmt.Println(job.State)
	fmt.Printf("%d pairs removed, %d dead letters\n", job.Pairs.Removed, job.Pairs.Dead)
	fmt.Println("still held:", sim.Assignments())
	// Output:
	// completed_with_dead_letters
	// 2 pairs removed, 2 dead letters
	// still held: 0
}
