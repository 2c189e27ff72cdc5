package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
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

	csv := "user_id,role_ids\nmanager4220,1507113578;1507113579\n00117,1507113578\n"
	removals, _, err := enqueue.Read(strings.NewReader(csv), enqueue.ReadOptions{Name: "leavers.csv"})
	if err != nil {
		log.Fatal(err)
	}
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
