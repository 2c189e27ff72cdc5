package enqueue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func newClient(t *testing.T, rdb redis.UniversalClient) *Client {
	t.Helper()
	c, err := NewClient(Config{Redis: rdb})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// some removals of a few parts: n users, each with all of the roles.
func some(t *testing.T, n int, roles ...int64) *Removals {
	t.Helper()
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprintf("u%03d", i)
	}
	r, err := FromLists(users, roles)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// complete checks that a job of the ledger has all of its parts in its lane, each once, and every pair once.
func complete(t *testing.T, rdb *redis.Client, jobID string, pairs int) {
	t.Helper()
	l := ledger.New(rdb, 0)
	job, err := l.Get(t.Context(), jobID)
	if err != nil {
		t.Fatal(err)
	}
	if job.State != ledger.StateRunning || job.Pairs.Total != int64(pairs) || job.Pairs.Pending != int64(pairs) {
		t.Errorf("the job is %+v, want %d pairs pending", job, pairs)
	}
	want := map[string]bool{}
	seen := map[string]bool{}
	err = l.Each(t.Context(), jobID, func(rec ledger.PartRecord) error {
		want[rec.Part.TaskID()] = true
		for _, row := range rec.Rows() {
			key := fmt.Sprintf("%s/%d", row.UserID, row.RoleID)
			if seen[key] {
				t.Errorf("%s is owned twice", key)
			}
			seen[key] = true
		}
		return nil
	})
	if err != nil || len(seen) != pairs {
		t.Errorf("the parts own %d pairs, want %d (%v)", len(seen), pairs, err)
	}
	queued, err := asynq.NewInspectorFromRedisClient(rdb).ListPendingTasks(tasks.QueueDefault, asynq.PageSize(10_000))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range queued {
		if id, _, _ := tasks.SplitTaskID(task.ID); id != jobID {
			continue
		}
		if !want[task.ID] {
			t.Errorf("task %s is no part of the record, or there twice", task.ID)
		}
		delete(want, task.ID)
	}
	if len(want) > 0 {
		t.Errorf("%d parts have no task", len(want))
	}
}

func TestTheSameSubmissionTwiceAtOnceIsOneJob(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		const times = 8
		got := make([]Submitted, times)
		errs := make([]error, times)
		var all sync.WaitGroup
		removals := some(t, 950, 1, 2, 3)
		for i := range times {
			all.Go(func() {
				// Each terminal is a process of its own.
				client, err := NewClient(Config{Redis: rdb})
				if err == nil {
					got[i], err = client.Submit(context.Background(), Submission{JobID: "j", Removals: removals, MaxUsers: -1})
				}
				errs[i] = err
			})
		}
		all.Wait()
		fresh := 0
		for i := range got {
			if errs[i] != nil {
				t.Errorf("submission %d: %v", i, errs[i])
			} else if !got[i].Existed {
				fresh++
			}
		}
		if fresh != 1 {
			t.Errorf("%d of them say that the job is new, want 1", fresh)
		}
		complete(t, rdb, "j", 2850)
	})
}

// crash is a process that loses Redis for good at its n-th command: before the command is sent, or after it was done
// and before the reply.
type crash struct {
	left  atomic.Int64
	after bool
}

var errCrashed = errors.New("the process is gone")

func (c *crash) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *crash) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return c.step(func() error { return next(ctx, cmd) }, func() { cmd.SetErr(errCrashed) })
	}
}

func (c *crash) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return c.step(func() error { return next(ctx, cmds) }, func() {
			for _, cmd := range cmds {
				cmd.SetErr(errCrashed)
			}
		})
	}
}

func (c *crash) step(do func() error, fail func()) error {
	left := c.left.Add(-1)
	if left < 0 || left == 0 && !c.after {
		fail()
		return errCrashed
	}
	err := do()
	if left == 0 {
		fail()
		return errCrashed
	}
	return err
}

func TestASubmissionThatCrashedAnywhereIsCompletedByTheSameAgain(t *testing.T) {
	_, rdb := redistest.Memory(t)
	for _, after := range []bool{false, true} {
		steps := 0
		for survived := false; !survived; {
			steps++
			id := fmt.Sprintf("crash-%v-%d", after, steps)
			dying := redis.NewClient(&redis.Options{Addr: rdb.Options().Addr, DisableIdentity: true, MaxRetries: -1})
			c := &crash{after: after}
			c.left.Store(int64(steps))
			dying.AddHook(c)
			_, err := newClient(t, dying).Submit(t.Context(), Submission{JobID: id, Removals: some(t, 250, 1, 2), MaxUsers: -1})
			dying.Close()
			survived = err == nil
			if !survived && !strings.Contains(err.Error(), errCrashed.Error()) { // asynq does not wrap
				t.Fatalf("step %d: %v", steps, err)
			}
			// Whoever repeats it has a file in another order, hence another plan, every other time.
			again := some(t, 250, 1, 2)
			if steps%2 == 0 {
				again = some(t, 250, 2, 1)
			}
			if _, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: id, Removals: again, MaxUsers: -1}); err != nil {
				t.Fatalf("again after a crash at step %d: %v", steps, err)
			}
			complete(t, rdb, id, 500)
		}
		if steps < 8 {
			t.Errorf("only %d steps were tried", steps)
		}
	}
}

func TestOtherContentIsRefusedWithNumbers(t *testing.T) {
	_, rdb := redistest.Memory(t)
	client := newClient(t, rdb)
	submit := func(r *Removals, at time.Time) error {
		_, err := client.Submit(t.Context(), Submission{JobID: "j", Removals: r, At: at, MaxUsers: -1})
		return err
	}
	if err := submit(some(t, 30, 1, 2), time.Time{}); err != nil {
		t.Fatal(err)
	}
	before := redistest.Keys(t, rdb)
	var taken *ConflictError
	if err := submit(some(t, 31, 1), time.Time{}); !errors.As(err, &taken) ||
		!strings.Contains(err.Error(), "has 60 pairs (30 users, 2 roles), this submission has 31 (31 users, 1 roles)") {
		t.Errorf("other pairs: %v", err)
	}
	if err := submit(some(t, 30, 1, 2), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)); !errors.As(err, &taken) ||
		!strings.Contains(err.Error(), "the same pairs were submitted at once") && !strings.Contains(err.Error(), "for at once, this submission is for 2099-01-01T00:00:00") {
		t.Errorf("another time: %v", err)
	}
	after := redistest.Keys(t, rdb)
	slices.Sort(before)
	slices.Sort(after)
	if !slices.Equal(before, after) {
		t.Errorf("a refused submission left %v, before it was %v", after, before)
	}
	complete(t, rdb, "j", 60)
}

// Two processes plan the same content in two ways; what the slower one writes must not mix with the other's.
func TestASupersededPlanDoesNotMix(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	removals := some(t, 250, 1, 2)
	slow := ledger.NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: removals.Pairs(), Content: removals.Digest(), Plan: "slow", Parts: 1}
	if _, err := l.Create(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	part := []tasks.Part{{JobID: "j", Part: "99", UserIDs: []string{"u001"}, RoleIDs: []int64{1}}}
	if _, err := l.PutParts(t.Context(), "j", "slow", part); err != nil {
		t.Fatal(err)
	}
	fast := slow
	fast.Plan = "fast"
	if _, err := l.Create(t.Context(), fast); err != nil {
		t.Fatal(err)
	}
	var superseded *ledger.SupersededError
	if _, err := l.PutParts(t.Context(), "j", "slow", part); !errors.As(err, &superseded) {
		t.Errorf("the slower one may go on: %v", err)
	}
	if _, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: removals, MaxUsers: -1}); err != nil {
		t.Fatal(err)
	}
	complete(t, rdb, "j", 500)
}

// Redis was started again with what it had on disk: the record is gone, and a task of it is in a worker's hands.
func TestASubmissionThatRedisLostIsTakenAgainThoughAWorkerHasAdoptedAPartOfIt(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		removals := some(t, 250, 1, 2)
		parts := PlanOf(removals, "j")
		claims, err := l.Claim(t.Context(), ledger.Request{Part: &parts[1], Lane: tasks.QueueDefault, Begin: true, Again: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Settle(t.Context(), claims[0], ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Removed}}); err != nil {
			t.Fatal(err)
		}
		var conflict *ConflictError
		if _, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: some(t, 30, 3), MaxUsers: -1}); !errors.As(err, &conflict) {
			t.Errorf("another list is taken for the one that was lost: %v", err)
		}
		done, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: removals, Source: "hr", MaxUsers: -1})
		if err != nil {
			t.Fatal(err)
		}
		taken := int64(parts[1].Owned())
		if want := (ledger.Pairs{Total: 500, Removed: taken, Pending: 500 - taken}); done.Job.Pairs != want || done.Job.Source != "hr" || done.Job.State.Finished() {
			t.Errorf("%+v, want the rest of 500 pairs open", done.Job)
		}
		for i := range parts { // each is known, those too that no worker has seen
			if c, err := l.Claim(t.Context(), ledger.Request{Part: &parts[i], Lane: tasks.QueueDefault}); err != nil || c[0].Open().Any() != (i != 1) {
				t.Errorf("part %d: %v", i, err)
			}
		}
	})
}

// Redis is started again before a submission is closed, and workers adopt parts of it one after the other that were enqueued afterwards.
// What was lost is submitted once more.
func TestASubmissionThatRedisLosesMeanwhileBeginsAnew(t *testing.T) {
	server, rdb := redistest.Memory(t)
	l := ledger.New(rdb, 0)
	removals := some(t, 350, 1, 2)
	parts := PlanOf(removals, "j")
	adopt := func(part int) {
		if _, err := l.Claim(t.Context(), ledger.Request{Part: &parts[part], Lane: tasks.QueueDefault}); err != nil {
			t.Error(err)
		}
	}
	hooked := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = hooked.Close() })
	hooked.AddHook(&looksAtParts{then: sync.OnceFunc(func() { adopt(2) })})
	forgets := sync.OnceFunc(func() {
		rdb.FlushDB(t.Context())
		rdb.SAdd(t.Context(), "asynq:queues", tasks.QueueDefault) // as workers do
		adopt(1)
	})
	s := Submission{JobID: "j", Removals: removals, Source: "hr", MaxUsers: -1, Progress: func(int, int) { forgets() }}
	done, err := newClient(t, hooked).Submit(t.Context(), s)
	if err != nil || done.Job.Source != "hr" {
		t.Fatalf("%+v, %v", done.Job, err)
	}
	complete(t, rdb, "j", 700)
}

// looksAtParts does something after a look at the parts of a job.
type looksAtParts struct{ then func() }

func (h *looksAtParts) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *looksAtParts) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *looksAtParts) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if cmd.Name() == "hgetall" && cmd.Args()[1] == "unrole:job:{j}:parts" {
			h.then()
		}
		return err
	}
}

// The submission that completes what workers adopted is killed before its plan is written, and another one of the same pairs has
// another plan: the counts of what was done belong to the first.
func TestAnotherPlanDoesNotReplaceOneThatWorkersHavePartsOf(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l, removals := ledger.New(rdb, 0), some(t, 250, 1, 2)
		parts := PlanOf(removals, "j")
		claims, err := l.Claim(t.Context(), ledger.Request{Part: &parts[0], Lane: tasks.QueueDefault, Begin: true, Again: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Settle(t.Context(), claims[0], ledger.Settlement{Outcome: ledger.Outcome{Kind: ledger.Removed}}); err != nil {
			t.Fatal(err)
		}
		job := ledger.NewJob{JobID: "j", Content: removals.Digest(), Pairs: removals.Pairs(), Plan: "first", Parts: len(parts), Planned: parts}
		if created, err := l.Create(t.Context(), job); err != nil || !created.NeedParts {
			t.Fatalf("%+v %v", created, err)
		}
		other := job
		other.Plan, other.Planned = "other", parts[1:]
		var conflict *ConflictError
		if created, err := l.Create(t.Context(), other); !errors.As(err, &conflict) {
			t.Errorf("%+v %v", created, err)
		}
		if created, err := l.Create(t.Context(), job); err != nil || !created.NeedParts {
			t.Errorf("the first plan again: %+v %v", created, err)
		}
		if c, err := l.Claim(t.Context(), ledger.Request{Part: &parts[0], Lane: tasks.QueueDefault}); err != nil || c[0].Open().Any() {
			t.Errorf("what was done is open again: %v", err)
		}
	})
}

// What a restore gives back depends on the moment: one that was interrupted before anything of it was enqueued comes to other pairs
// when it is asked for again.
func TestAnInterruptedRestoreIsCompletedThoughItComesToOtherPairs(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := ledger.New(rdb, 0)
		first := ledger.NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: 2, Users: 1, Roles: 2, Content: "add:other", Plan: "other", Parts: 1, Action: tasks.Add, Asked: "all of job a"}
		if _, err := l.Create(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if _, err := l.PutParts(t.Context(), "j", "other", []tasks.Part{{V: 2, JobID: "j", Part: "9", Action: tasks.Add, UserIDs: []string{"u"}, RoleIDs: []int64{8, 9}}}); err != nil {
			t.Fatal(err)
		}
		s := Submission{JobID: "j", Removals: some(t, 3, 1), Action: tasks.Add, Asked: "all of job b"}
		var conflict *ConflictError
		if _, err := newClient(t, rdb).Submit(t.Context(), s); !errors.As(err, &conflict) {
			t.Errorf("a restore of something else is taken for it: %v", err)
		}
		s.Asked = first.Asked
		if _, err := newClient(t, rdb).Submit(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		complete(t, rdb, "j", 3)
	})
}

// rival is another process that takes a job over, with a plan of its own, just before each of the first n writes of a plan.
type rival struct {
	rdb  *redis.Client
	left int
}

func (r *rival) DialHook(next redis.DialHook) redis.DialHook { return next }

func (r *rival) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if r.left > 0 && r.rdb.HGet(ctx, "unrole:job:{j}", "phase").Val() == "planning" {
			r.left--
			if err := r.rdb.HSet(ctx, "unrole:job:{j}", "plan", fmt.Sprint("rival ", r.left)).Err(); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (r *rival) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestASubmissionThatIsTakenOverBeginsAnewAndInTheEndSaysSo(t *testing.T) {
	removals := some(t, 100*partsPerWrite+1, 1) // its plan is two writes: one that is written with the record gives no occasion
	for _, c := range []struct {
		takenOver int
		want      error
	}{{1, nil}, {2, nil}, {100, ErrInProgress}} {
		memory, rdb := redistest.Memory(t)
		other := redis.NewClient(&redis.Options{Addr: memory.Addr(), DisableIdentity: true})
		t.Cleanup(func() { other.Close() })
		rdb.AddHook(&rival{rdb: other, left: c.takenOver})
		_, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: removals, MaxUsers: -1})
		var internal *ledger.SupersededError
		if !errors.Is(err, c.want) || errors.As(err, &internal) {
			t.Errorf("taken over %d times: %v, want %v", c.takenOver, err, c.want)
		}
		if c.want == nil {
			complete(t, rdb, "j", removals.Pairs())
		}
	}
}

func TestAPlanOfAnotherSubmissionIsRefused(t *testing.T) {
	removals := some(t, 120, 1, 2)
	for name, c := range map[string]struct {
		plan func() []tasks.Part
		want string
	}{
		"another job":   {func() []tasks.Part { return PlanOf(removals, "other") }, "is of job other"},
		"fewer pairs":   {func() []tasks.Part { return PlanOf(removals, "j")[:1] }, "of other content"},
		"other pairs":   {func() []tasks.Part { return PlanOf(some(t, 120, 1, 3), "j") }, "of other content"},
		"more pairs":    {func() []tasks.Part { return PlanOf(some(t, 121, 1, 2), "j") }, "of other content"},
		"a pair twice":  {func() []tasks.Part { p := PlanOf(removals, "j"); p = append(p, p[0]); p[len(p)-1].Part = "9"; return p }, "a second time"},
		"a name twice":  {func() []tasks.Part { p := PlanOf(removals, "j"); p[1].Part = p[0].Part; return p }, "two calls"},
		"a huge call":   {func() []tasks.Part { p := PlanOf(removals, "j"); p[0].UserIDs = removals.Users(); return p }, "larger than a call"},
		"an empty plan": {func() []tasks.Part { return []tasks.Part{} }, "of other content"},
	} {
		_, rdb := redistest.Memory(t)
		_, err := newClient(t, rdb).Submit(t.Context(), Submission{JobID: "j", Removals: removals, Plan: c.plan()})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one with %q", name, err, c.want)
		}
		if keys := redistest.Keys(t, rdb); len(keys) > 0 {
			t.Errorf("%s: it left %v", name, keys)
		}
	}
}

// trips counts how often a client has Redis run scripts, and how many it sends whole.
type trips struct{ asked, whole atomic.Int64 }

func (c *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "eval", "script":
			c.whole.Add(1)
			fallthrough
		case "evalsha":
			c.asked.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (c *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" }) {
			c.asked.Add(1)
		}
		return next(ctx, cmds)
	}
}

func TestABurstOfSubmissionsAsksRedisThreeTimesEachAndSendsScriptsOnce(t *testing.T) {
	_, rdb := redistest.Memory(t)
	count := &trips{}
	rdb.AddHook(count)
	client := newClient(t, rdb)
	const jobs = 200
	var all sync.WaitGroup
	for i := range jobs {
		removals := some(t, 1, 1, 2)
		all.Go(func() {
			if _, err := client.Submit(t.Context(), Submission{JobID: fmt.Sprint("j", i), Removals: removals}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// Of the ledger's scripts two are loaded and asynq's is sent whole; the first submission repeats what was not known.
	if whole := count.whole.Load(); whole != 3 {
		t.Errorf("%d scripts were sent whole, want 3", whole)
	}
	if asked := count.asked.Load(); asked > 3*jobs+10 {
		t.Errorf("%d submissions asked %d times", jobs, asked)
	}
	complete(t, rdb, "j0", 2)
	complete(t, rdb, fmt.Sprint("j", jobs-1), 2)
}
