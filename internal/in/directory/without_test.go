package directory

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// Who needs no Redis goes on alone where that of the fleet goes away in the middle, whatever it looks for.
func TestARedisThatGoesAwayIsDoneWithoutByWhoNeedsNone(t *testing.T) {
	for name, p := range map[string]lists.Person{"by the user id": {By: lists.UserID, Text: "wang1"}, "by the staff number": {By: lists.JobNumber, Text: "00412"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rdb := redistest.Virtual(t)()
				client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
					HTTP: &http.Client{Transport: company(simulator.Options{}).Transport()}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(client.Close)
				paces, err := Shared(20, func(api string) (*pace.Pacer, error) { return pace.New(rdb, pace.Config{App: "app " + api, QPS: 20}) })
				if err != nil {
					t.Fatal(err)
				}
				d := indexed(t, At(client, paces), rdb)
				var told atomic.Int32
				looking, end := context.WithCancel(t.Context())
				defer end()
				d.Optional(looking, func(ctx context.Context) error { return rdb.Ping(ctx).Err() }, func(error) { told.Add(1) })
				if got := find(t, d, p.By, p.Text); !cmp.Equal(got, []string{"wang1"}) {
					t.Fatalf("over Redis: %v", got)
				}
				time.Sleep(time.Minute)
				if told.Load() != 0 {
					t.Error("it was left while it answered")
				}
				rdb.Close()
				began := time.Now()
				for range 2 {
					if got := find(t, d, p.By, p.Text); !cmp.Equal(got, []string{"wang1"}) {
						t.Errorf("without it: %v", got)
					}
				}
				if took := time.Since(began); took > 10*time.Second || told.Load() != 1 {
					t.Errorf("it took %v, and was said %d times", took, told.Load())
				}
			})
		})
	}
}
