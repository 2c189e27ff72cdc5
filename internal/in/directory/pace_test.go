package directory

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// watched counts the answers that say that there were too many calls.
type watched struct {
	http.RoundTripper
	throttled *atomic.Int32
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	if bytes.Contains(body, []byte("90018")) {
		w.throttled.Add(1)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, err
}

// fleet opens the directory as processes do that share a Redis, and counts the questions of all of them that were throttled.
func fleet(t *testing.T, sim *simulator.Simulator, qps float64) (open func() *Directory, throttled *atomic.Int32) {
	newClient := redistest.Virtual(t)
	throttled = &atomic.Int32{}
	return func() *Directory {
		rdb := newClient()
		client, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret,
			HTTP: &http.Client{Transport: watched{sim.Transport(), throttled}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		paces, err := Shared(qps, func(api string) (*pace.Pacer, error) { return pace.New(rdb, pace.Config{App: "app " + api, QPS: qps}) })
		if err != nil {
			t.Fatal(err)
		}
		return At(client, paces)
	}, throttled
}

// each looks somebody up so many times, in as many processes side by side as there are directories.
func each(t *testing.T, directories []*Directory, times int, p lists.Person) {
	t.Helper()
	var processes sync.WaitGroup
	for _, d := range directories {
		processes.Go(func() {
			for range times {
				if found, err := d.Find(t.Context(), p); err != nil || len(found.Users) != 1 {
					t.Errorf("%+v %v", found, err)
				}
			}
		})
	}
	processes.Wait()
}

func TestAFleetAsksEachAPIAtOnePace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := company(simulator.Options{QPS: 20, Latency: 10 * time.Millisecond})
		open, throttled := fleet(t, sim, 20)
		began := time.Now()
		each(t, []*Directory{open(), open(), open()}, 40, lists.Person{By: lists.UserID, Text: "wang1"})
		took := time.Since(began)
		if n := throttled.Load(); n != 0 {
			t.Errorf("%d questions were too many", n)
		}
		// 120 questions at 20 a second, less the margin that the pace keeps.
		if took < 5900*time.Millisecond || took > 6500*time.Millisecond {
			t.Errorf("120 questions took %v, want 6.1s", took)
		}
		began = time.Now()
		each(t, []*Directory{open()}, 1, lists.Person{By: lists.Mobile, Text: "13812345678"})
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("another API waited for the first: %v", took)
		}
	})
}

func TestAThrottleOfOneProcessMakesTheOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open, throttled := fleet(t, company(simulator.Options{QPS: 3}), 20)
		one, other := open(), open()
		wang := lists.Person{By: lists.UserID, Text: "wang1"}
		each(t, []*Directory{one}, 3, wang)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			each(t, []*Directory{one}, 1, wang)
		}()
		synctest.Wait()
		for throttled.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		each(t, []*Directory{other}, 1, wang)
		if took := time.Since(began); took < 500*time.Millisecond || throttled.Load() != 1 {
			t.Errorf("the other one waited %v, and %d questions were throttled", took, throttled.Load())
		}
		<-ended
	})
}
