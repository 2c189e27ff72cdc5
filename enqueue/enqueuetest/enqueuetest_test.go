package enqueuetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/enqueue/enqueuetest"
)

// offboard stands for the code of a producer.
func offboard(ctx context.Context, client *enqueue.Client, user string, lastDay time.Time) error {
	removals, err := enqueue.FromLists([]string{user}, []int64{1507113579, 1507113578})
	if err != nil {
		return err
	}
	_, err = client.Submit(ctx, enqueue.Submission{JobID: "leaver-" + user, Source: "hr", Reason: "left", At: lastDay, Removals: removals})
	return err
}

func TestTheFakeShowsWhatWasSubmittedAndBehavesAsTheRealOne(t *testing.T) {
	fake := enqueuetest.New(t, enqueue.Config{})
	day := time.Date(2099, 12, 31, 18, 0, 0, 0, time.UTC)
	for range 2 { // the same again is the same job
		if err := offboard(t.Context(), fake.Client, "00117", day); err != nil {
			t.Fatal(err)
		}
	}
	want := []enqueuetest.Submitted{{JobID: "leaver-00117", Source: "hr", Reason: "left", Priority: "default", At: day,
		Roles: map[string][]int64{"00117": {1507113578, 1507113579}}}}
	if diff := cmp.Diff(want, fake.Jobs()); diff != "" {
		t.Error(diff)
	}
	var taken *enqueue.ConflictError
	if err := offboard(t.Context(), fake.Client, "00117", day.Add(time.Hour)); !errors.As(err, &taken) {
		t.Errorf("another time under the same id: %v", err)
	}
	fake.Fail("LOADING Redis is loading the dataset in memory")
	if err := offboard(t.Context(), fake.Client, "00118", day); err == nil {
		t.Error("want the error of Redis")
	}
	fake.Fail("")
	if err := offboard(t.Context(), fake.Client, "00118", day); err != nil || len(fake.Jobs()) != 2 {
		t.Errorf("after the outage: %v, %d jobs", err, len(fake.Jobs()))
	}
}
