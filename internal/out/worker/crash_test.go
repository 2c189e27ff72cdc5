package worker

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// deadly panics at calls for one user, and keeps who was called with whom.
type deadly struct {
	user  string
	mu    sync.Mutex
	calls []string
}

func (d *deadly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		return http.DefaultTransport.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body, again.GetBody = io.NopCloser(strings.NewReader(string(body))), nil
	d.mu.Lock()
	d.calls = append(d.calls, string(body))
	d.mu.Unlock()
	if strings.Contains(string(body), d.user) {
		panic("a call that nobody survives")
	}
	return http.DefaultTransport.RoundTrip(again)
}

// A call that takes its worker along again and again makes a dead letter of the task that it served, and of no other one
// that was in flight with it: those prove, each alone, that it was not they.
func TestATaskWhoseCallsTakeTheirWorkerAlongIsSetAside(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	way := &deadly{user: "killer"}
	w.transport = way
	users := append([]string{"killer"}, names("u", 5)...)
	for _, user := range users {
		w.single("of-"+user, user)
		taken := suspectAfter - 1
		if user == way.user {
			taken = crashLimit - 2
		}
		// What is left of a worker that died in a call for it, the last of so many.
		rdb.HSet(t.Context(), "unrole:job:{of-"+user+"}:begun", "0", fmt.Sprintf("%d+1", taken))
	}
	w.work()
	for _, user := range users {
		want := ledger.Pairs{Total: 1, Removed: 1}
		if user == way.user {
			want = ledger.Pairs{Total: 1, Dead: 1}
		}
		if job := w.finished("of-" + user); job.Pairs != want {
			t.Errorf("%s: %+v", user, job.Pairs)
		}
	}
	for name, letter := range w.letters() {
		if letter.Failure.Reason != tasks.ReasonCrashed || letter.Failure.Attempts != crashLimit {
			t.Errorf("letter %s: %+v", name, letter.Failure)
		}
	}
	way.mu.Lock()
	defer way.mu.Unlock()
	for _, call := range way.calls {
		n := 0
		for _, user := range users {
			n += strings.Count(call, user)
		}
		if n > 1 {
			t.Errorf("suspects share a call: %s", call)
		}
	}
	if n := len(way.calls); n != len(users) {
		t.Errorf("%d calls for %d tasks", n, len(users))
	}
}
