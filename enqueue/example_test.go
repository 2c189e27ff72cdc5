package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
)

// A Go HR service submits a leaver. The job id makes it safe to repeat: after an error, a restart or a lost reply the
// same call completes the submission, and doubles nothing.
func Example() {
	memory, err := miniredis.Run() // your Redis in production, the workers' own
	if err != nil {
		log.Fatal(err)
	}
	defer memory.Close()
	rdb := redis.NewClient(&redis.Options{Addr: memory.Addr()})
	defer rdb.Close()

	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		log.Fatal(err)
	}
	removals, err := enqueue.FromLists([]string{"manager4220"}, []int64{1507113578, 1507113579})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		done, err := client.Submit(context.Background(), enqueue.Submission{
			JobID: "leaver-4220", Source: "hr", Reason: "left in December", Priority: "urgent", Removals: removals,
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(done.Job.JobID, done.Job.State, done.Job.Pairs.Total, "pairs, known before:", done.Existed)
	}
	// Output:
	// leaver-4220 running 2 pairs, known before: false
	// leaver-4220 running 2 pairs, known before: true
}

// Off-boarding is known days ahead: the job is stored now, waits, and can be cancelled until its time.
func ExampleClient_Submit_scheduled() {
	memory, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer memory.Close()
	rdb := redis.NewClient(&redis.Options{Addr: memory.Addr()})
	defer rdb.Close()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		log.Fatal(err)
	}

	removals := &enqueue.Removals{}
	removals.Add("manager4220", 1507113578)
	removals.Add("manager4220", 1507113579)
	removals.Add("00117", 1507113578)
	lastDay := time.Date(2099, 12, 31, 18, 0, 0, 0, time.FixedZone("UTC+8", 8*60*60))
	s := enqueue.Submission{JobID: "leavers-2099", Source: "hr", At: lastDay, Removals: removals}
	done, err := client.Submit(context.Background(), s)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.Job.State, done.Job.Pairs.Pending, "pairs until", done.Job.At.Format(time.RFC3339))

	s.At = lastDay.AddDate(0, 0, 1)
	_, err = client.Submit(context.Background(), s)
	var taken *enqueue.ConflictError
	fmt.Println("another day under the same id is refused:", errors.As(err, &taken))
	// Output:
	// scheduled 3 pairs until 2099-12-31T10:00:00Z
	// another day under the same id is refused: true
}

// The person stays: what has not begun is taken back, and the job's end says how many pairs that was.
func ExampleClient_Cancel() {
	memory, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer memory.Close()
	rdb := redis.NewClient(&redis.Options{Addr: memory.Addr()})
	defer rdb.Close()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		log.Fatal(err)
	}
	removals, err := enqueue.FromLists([]string{"manager4220"}, []int64{1507113578, 1507113579})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	lastDay := time.Date(2099, 12, 31, 18, 0, 0, 0, time.UTC)
	if _, err := client.Submit(ctx, enqueue.Submission{JobID: "leaver-4220", At: lastDay, Removals: removals}); err != nil {
		log.Fatal(err)
	}

	if _, err := client.Cancel(ctx, "leaver-4220", "hr", "she stays"); err != nil {
		log.Fatal(err)
	}
	job, err := client.Wait(ctx, "leaver-4220")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(job.State == enqueue.StateCancelled, job.Pairs.Cancelled, "of", job.Pairs.Total)

	_, err = client.Get(ctx, "leaver-4221")
	var unknown *enqueue.NotFoundError
	fmt.Println("another job is unknown:", errors.As(err, &unknown))
	// Output:
	// true 2 of 2
	// another job is unknown: true
}
