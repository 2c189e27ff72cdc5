package worker_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/tasks"
	"github.com/unrole/unrole/worker"
)

// A program that works through removals until it is told to stop, here as soon as the one that it submitted itself has
// ended.
func Example() {
	ctx, stop := context.WithCancel(context.Background()) // signal.NotifyContext in a program
	defer stop()
	rdb := redis.NewClient(&redis.Options{Addr: memory()})
	defer rdb.Close()

	w, err := worker.New(worker.Config{
		Redis:    rdb,
		DingTalk: worker.DingTalk{AppKey: "dingkey", AppSecret: "secret", BaseURL: dingTalk()},
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer stop()
		remove(ctx, rdb, "left", []string{"manager4220"}, []int64{1507113578, 1507113579})
	}()
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// job left: completed
	// {Total:2 Removed:2 Restored:0 Dead:0 Cancelled:0 Pending:0} in 1 call
}

// Who must never lose a role is said to every worker: whoever asks for it finds a dead letter.
func ExampleConfig_protected() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	rdb := redis.NewClient(&redis.Options{Addr: memory()})
	defer rdb.Close()

	w, err := worker.New(worker.Config{
		Redis:          rdb,
		DingTalk:       worker.DingTalk{AppKey: "dingkey", AppSecret: "secret", BaseURL: dingTalk()},
		ProtectedUsers: []string{"ceo"},
		QPS:            5,           // the app is somebody else's too
		RetryCap:       time.Minute, // nobody is in a hurry, but nobody waits for five minutes
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer stop()
		remove(ctx, rdb, "board", []string{"ceo", "cto", "cfo"}, []int64{1507113578})
	}()
	if err := w.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// job board: completed_with_dead_letters
	// {Total:3 Removed:2 Restored:0 Dead:1 Cancelled:0 Pending:0} in 1 call
}

// A configuration is refused before anything starts, in the words of its fields.
func ExampleNew() {
	_, err := worker.New(worker.Config{
		DingTalk:       worker.DingTalk{AppKey: "dingkey"},
		QPS:            -20,
		RetryBase:      time.Hour,
		ProtectedRoles: []int64{0},
	})
	fmt.Println(err)
	// Output:
	// worker: QPS is negative (-20): leave it out for 20
	// worker: Redis is required
	// worker: DingTalk.AppKey and DingTalk.AppSecret are required, or DingTalk.AccessToken
	// worker: RetryBase (1h0m0s) is longer than RetryCap (5m0s)
	// worker: ProtectedRoles[0]: role id 0 is not positive
}

// remove submits a removal and prints what became of it.
func remove(ctx context.Context, rdb redis.UniversalClient, job string, users []string, roles []int64) {
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		log.Fatal(err)
	}
	removals, err := enqueue.FromLists(users, roles)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Submit(ctx, enqueue.Submission{JobID: job, Priority: tasks.QueueUrgent, Removals: removals}); err != nil {
		log.Fatal(err)
	}
	done, err := client.Wait(ctx, job)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("job %s: %s\n", done.JobID, done.State)
	fmt.Printf("%+v in %d call\n", done.Pairs, done.APICalls)
}

// memory is a Redis for an example.
func memory() (addr string) {
	m, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	return m.Addr()
}

// dingTalk is a DingTalk for an example: it has a token for everybody, and removes whatever it is asked to.
func dingTalk() (url string) {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/gettoken") {
			io.WriteString(w, `{"errcode":0,"errmsg":"ok","access_token":"token","expires_in":7200}`)
			return
		}
		io.WriteString(w, `{"errcode":0,"errmsg":"ok","request_id":"15r6h8x4nzc1"}`)
	})).URL
}
