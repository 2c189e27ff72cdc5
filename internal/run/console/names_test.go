package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// namesOf is what the script of a job's page is told.
func (d *desk) namesOf(job string) (is called) {
	d.Helper()
	if err := json.Unmarshal([]byte(d.see("/jobs/"+job+"/names")), &is); err != nil {
		d.Fatal(err)
	}
	return is
}

func TestAJobNamesItsPeopleAndRoles(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	d.submit(enqueue.Submission{JobID: "job"}, []string{"wang1", "gone", "nosuch"}, 7, 99)
	said := &heard{}
	d.rdb.AddHook(said)
	want := called{map[string]string{"wang1": "王芳", "gone": "赵四"}, map[string]string{"7": "财务/出纳"}}
	if diff := cmp.Diff(want, d.namesOf("job")); diff != "" {
		t.Error(diff)
	}
	page := d.see("/jobs/job")
	d.has(page, `<span data-user="wang1">王芳</span> <span class="id">wang1</span>`, `<span data-user="gone">赵四</span>`, `<span data-user="nosuch"></span> <span class="id">nosuch</span>`, `<span data-role="7">财务/出纳</span>`)
	if strings.Contains(page, "data-names=") {
		t.Error("a page with all names asks for more")
	}
	if said.n == 0 || len(said.named) > 0 {
		t.Errorf("of %d commands to Redis these have somebody's name: %q", said.n, said.named)
	}
}

// heard counts what is said to Redis, and keeps what has a name in it.
type heard struct {
	mu    sync.Mutex
	n     int
	named []string
}

func (h *heard) hear(cmds ...redis.Cmder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, cmd := range cmds {
		h.n++
		if said := fmt.Sprint(cmd.Args()...); strings.Contains(said, "王芳") || strings.Contains(said, "赵四") {
			h.named = append(h.named, said)
		}
	}
}

func (h *heard) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *heard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { h.hear(cmd); return next(ctx, cmd) }
}

func (h *heard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { h.hear(cmds...); return next(ctx, cmds) }
}

func TestAPageWaitsForNoName(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	con := d.pages.(*Console)
	open, answers := con.names.open, make(chan struct{})
	con.names.open = func() (*directory.Directory, error) { <-answers; return open() }
	d.submit(enqueue.Submission{JobID: "job"}, []string{"wang1"}, 7)
	page := d.see("/jobs/job")
	d.has(page, `<span data-user="wang1"></span> <span class="id">wang1</span>`, `data-names="/unrole/jobs/job/names?from="`)
	close(answers)
	if is := d.namesOf("job"); is.People["wang1"] != "王芳" || is.Roles["7"] != "财务/出纳" {
		t.Errorf("%+v", is)
	}
}

func TestWhereDingTalkCannotBeAskedAJobHasItsIDs(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	con := d.pages.(*Console)
	var asked atomic.Int32
	con.names.open = func() (*directory.Directory, error) { asked.Add(1); return nil, errors.New("no route") }
	d.submit(enqueue.Submission{JobID: "job"}, []string{"wang1"}, 7)
	d.namesOf("job")
	for range 5 {
		page := d.see("/jobs/job")
		d.has(page, `<span class="id">wang1</span>`)
		if strings.Contains(page, "data-names=") {
			t.Error("the page asks for names that nobody can know")
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("DingTalk was tried %d times within its rest", n)
	}
}

func TestNamesAreThoseOfAJob(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	if w := d.ask(httptest.NewRequest("GET", "/unrole/jobs/none/names", nil)); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatWasRefusedAndWhatIsToBeGivenBackHasNames(t *testing.T) {
	d, _ := office(t, simulator.Options{})
	d.submit(enqueue.Submission{JobID: "job"}, []string{"wang1"}, 7)
	d.refuse("job", "wang1", tasks.ReasonUserGone)
	d.submit(enqueue.Submission{JobID: "taken"}, []string{"wang2"}, 7)
	d.remove("taken")
	d.has(d.see("/letters"), `wang1 <span class="name" data-user="wang1">王芳</span>`, `7 <span class="name" data-role="7">财务/出纳</span>`)
	d.has(d.see("/jobs/job"), `wang1 <span class="name" data-user="wang1">王芳</span>`)
	d.has(d.see("/jobs/taken/restore?from_removed=1"), `王芳 <span class="id">wang2</span>`, `财务/出纳 (7)`)
	d.has(d.see("/jobs/taken/report/taken.html"), `<span class="id">wang2</span> 王芳`, `财务/出纳`)
}
