package console

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
)

// pagesHeld lets so many pages of the index of jobs be read, and holds the others back until it is opened.
type pagesHeld struct {
	mu   sync.Mutex
	left int
	// reached is closed when the first of them is asked for.
	reached, open chan struct{}
}

func holdPages(left int) *pagesHeld {
	return &pagesHeld{left: left, reached: make(chan struct{}), open: make(chan struct{})}
}

func (h *pagesHeld) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h *pagesHeld) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
func (h *pagesHeld) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), "zrevrangebyscore") && cmd.Args()[1] == "unrole:jobs" {
			h.mu.Lock()
			h.left--
			held := h.left < 0
			if h.left == -1 {
				close(h.reached)
			}
			h.mu.Unlock()
			if held {
				<-h.open
			}
		}
		return next(ctx, cmd)
	}
}

// begin has the catalog read; over is closed at the end.
func (c *catalog) begin() (over <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(c.knows)
}

// wholly reads the catalog to its end.
func wholly(c *catalog) { <-c.begin() }

// Whoever searches a large ledger right after a start waits for nothing: the latest jobs are found first, and the page says what is
// still to be read.
func TestASearchFindsWhatIsReadAndSaysWhatIsNot(t *testing.T) {
	const jobs = 1000
	d := newDesk(t, redistest.Start(t, "--save", "", "--appendonly", "no").Client())
	enginetest.PastJobs(t, d.rdb, jobs)
	d.see("/") // as a worker, leaves the index of open jobs behind
	held := holdPages(2)
	d.rdb.AddHook(held)
	id := func(i int) string { return fmt.Sprintf("job-%06d", i) }
	c := d.pages.(*Console).catalog
	c.begin()
	<-held.reached
	find := func(s search) (ids []string, before string) {
		t.Helper()
		found, err := c.find(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if !found.whole {
			job, err := d.ledger.Get(t.Context(), id(jobs-400))
			if err != nil || !job.CreatedAt.Equal(found.until) {
				t.Fatalf("read until %v, want %v; %v", found.until, job.CreatedAt, err)
			}
			before = job.JobID
		}
		return found.ids, before
	}

	ids, before := find(search{source: "hr"})
	var want []string
	for i := range 400 {
		want = append(want, id(jobs-1-i))
	}
	if diff := cmp.Diff(want, ids); diff != "" || before != id(jobs-400) {
		t.Errorf("before all is read, it is %q and found (-want +got):\n%s", before, diff)
	}
	d.submit(enqueue.Submission{JobID: "new"}, []string{"user000999", "user000001"}, 1)
	for person, want := range map[string][]string{"user000001": {"new"}, "user000999": {"new", id(999)}} {
		if found, before := find(search{person: person}); before == "" || !cmp.Equal(found, want) {
			t.Errorf("%s: found %v, read until %q, want %v", person, found, before, want)
		}
	}
	if page := d.see("/?person=user000001"); !strings.Contains(page, "still being read") {
		t.Errorf("the page does not say that it is not whole:\n%s", page)
	}

	close(held.open)
	wholly(c)
	if found, before := find(search{person: "user000001"}); before != "" || !cmp.Equal(found, []string{"new", id(1)}) {
		t.Errorf("found %v, read until %q", found, before)
	}
	if found, _ := find(search{person: "user000999"}); !cmp.Equal(found, []string{"new", id(999)}) {
		t.Errorf("found %v", found)
	}
	want = nil
	for i := range jobs {
		want = append(want, id(jobs-1-i))
	}
	if found, _ := find(search{source: "hr"}); !cmp.Equal(want, found) {
		t.Errorf("all are not found, the latest first: %v", cmp.Diff(want, found))
	}
	if page := d.see("/?person=user000001"); strings.Contains(page, "still being read") {
		t.Error("the page says that it is not whole")
	}
}

// Nothing is not found before anything is read.
func TestASearchBeforeAnythingIsReadSaysSo(t *testing.T) {
	d := newDesk(t, redistest.Start(t, "--save", "", "--appendonly", "no").Client())
	enginetest.PastJobs(t, d.rdb, 10)
	d.see("/")
	held := holdPages(0)
	d.rdb.AddHook(held)
	if page := d.see("/?person=user000001"); !strings.Contains(page, "still being read") {
		t.Errorf("the page does not say that nothing is read:\n%s", page)
	}
	close(held.open)
	wholly(d.pages.(*Console).catalog)
	if page := d.see("/?person=user000001"); !strings.Contains(page, "job-000001") {
		t.Errorf("not found:\n%s", page)
	}
}

// A reading that Redis interrupts goes on where it was.
func TestAReadingGoesOnWhereItWasInterrupted(t *testing.T) {
	d := newDesk(t, redistest.Start(t, "--save", "", "--appendonly", "no").Client())
	enginetest.PastJobs(t, d.rdb, 500)
	idx := newIndex(d.ledger)
	for about, err := range d.ledger.Concerns(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if idx.takeEarlier(about); len(idx.earlier) == 250 {
			break
		}
	}
	var rest []ledger.Concern
	for about, err := range d.ledger.Concerns(t.Context(), idx.place) {
		if err != nil {
			t.Fatal(err)
		}
		rest = append(rest, about)
	}
	if len(rest) != 250 || rest[0].Job.JobID != "job-000249" || rest[249].Job.JobID != "job-000000" {
		t.Errorf("%d are left, from %s to %s", len(rest), rest[0].Job.JobID, rest[len(rest)-1].Job.JobID)
	}
}
