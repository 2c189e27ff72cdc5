package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// company is a random set of pairs: some departments and titles with extras.
func company(rng *rand.Rand, users []string, roles []int64) *enqueue.Removals {
	r := &enqueue.Removals{}
	for _, u := range users {
		department, title := rng.IntN(4), rng.IntN(3)
		for i := range 3 {
			r.Add(u, roles[department*3+i])
		}
		r.Add(u, roles[12+title])
		for rng.IntN(3) == 0 {
			r.Add(u, roles[rng.IntN(len(roles))])
		}
	}
	return r
}

func eachPair(r *enqueue.Removals, visit func(user string, role int64)) {
	for u, user := range r.Users() {
		for role := range r.RolesOf(u) {
			visit(user, role)
		}
	}
}

// TestPromisesUnderNoise runs several jobs of overlapping random pairs with two workers against a DingTalk that shows
// every fault at once, and checks from outside that each promise held.
func TestPromisesUnderNoise(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			users, roles := names("u", 120), roleIDs(18)
			bad := map[string]bool{}
			for range rng.IntN(8) {
				bad[users[rng.IntN(len(users))]] = true
			}
			badRole := roles[rng.IntN(len(roles))]
			w := newWorld(t, redistest.Start(t).Client(), simulator.Options{Seed: seed,
				BadUsers: slices.Collect(func(yield func(string) bool) {
					for u := range bad {
						if !yield(u) {
							return
						}
					}
				}),
				SystemRoles: []int64{badRole}, Blames: simulator.Blames(rng.IntN(3)), ApplyGood: simulator.ApplyGood(rng.IntN(3)),
				Busy: 0.15, DropBefore: 0.03, DropAfter: 0.05, ProxyPages: 0.05, Truncated: 0.03, QPS: 600,
				TokenTTL: 500 * time.Millisecond, TokenAnnounced: time.Hour, Shape: simulator.Shape(rng.IntN(4))})
			w.qps = 500
			w.config.MaxAttempts = 40 // at 15 % busy a batch must never be given up
			requested := map[string]map[int64]bool{}
			jobs := map[string]*enqueue.Removals{}
			for i := range 4 {
				r := company(rng, users[i*20:i*20+60], roles)
				jobs[fmt.Sprint("job", i)] = r
				eachPair(r, func(u string, role int64) {
					w.sim.Grant(u, role)
					if requested[u] == nil {
						requested[u] = map[int64]bool{}
					}
					requested[u][role] = true
				})
			}
			w.work()
			stop := w.work()
			for id, r := range jobs {
				w.submitSet(id, r)
			}
			stop() // and a third one takes over
			w.work()
			for id, r := range jobs {
				job := w.finished(id)
				if job.Pairs.Total != int64(r.Pairs()) {
					t.Errorf("%s counts %d pairs, %d were submitted", id, job.Pairs.Total, r.Pairs())
				}
				rows := w.rows(id)
				eachPair(r, func(u string, role int64) {
					row, there := rows[fmt.Sprintf("%s/%d", u, role)]
					switch {
					case !there:
						t.Errorf("%s: %s/%d is not in the report", id, u, role)
					case bad[u] || role == badRole:
						if row.Outcome.Kind != ledger.Dead {
							t.Errorf("%s: %s/%d is %s, want a dead letter", id, u, role, row.Outcome.Kind)
						}
					case row.Outcome.Kind != ledger.Removed:
						t.Errorf("%s: %s/%d is %s (%s), want removed", id, u, role, row.Outcome.Kind, row.Outcome.ErrMsg)
					case w.sim.Holds(u, role):
						t.Errorf("%s: %s/%d counts as removed and is still held", id, u, role)
					}
				})
			}
			for _, c := range w.sim.Calls() {
				for _, u := range c.Users {
					for _, role := range c.Roles {
						if !requested[u][role] {
							t.Fatalf("the call %d covered %s/%d, which nobody asked for", c.Number, u, role)
						}
					}
				}
			}
			if n := w.sim.Stats().Violations; n != 0 {
				t.Errorf("%d calls broke DingTalk's limits", n)
			}
		})
	}
}

func TestProtectedPairsAreNeverCalledWhoeverAsks(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	set, err := protect.Parse("u003", fmt.Sprint(roleIDs(5)[2]))
	if err != nil {
		t.Fatal(err)
	}
	w.config.Protected = set
	users, roles := names("u", 10), roleIDs(5)
	w.submit("protected", users, roles)
	w.work()
	job := w.finished("protected")
	if want := (ledger.Pairs{Total: 50, Removed: 36, Dead: 14}); job.Pairs != want {
		t.Errorf("got %+v, want %+v", job.Pairs, want)
	}
	for _, u := range users {
		for _, r := range roles {
			if n := w.sim.Called(u, r); n > 0 && (u == "u003" || r == roles[2]) {
				t.Errorf("%s/%d is protected and was called", u, r)
			}
		}
	}
	for name, l := range w.letters() {
		if l.Failure.Reason != tasks.ReasonProtected {
			t.Errorf("letter %s has reason %s", name, l.Failure.Reason)
		}
	}
}

func TestMisconfigurationDrainsNothingIntoTheDeadLetters(t *testing.T) {
	for _, fault := range []simulator.FaultKind{simulator.FaultPermission, simulator.FaultIPNotAllowed, simulator.FaultDisabled,
		simulator.FaultToken, simulator.FaultOutage, simulator.FaultUnreachable} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			_, rdb := redistest.Memory(t)
			w := newWorld(t, rdb, simulator.Options{Open: true})
			w.config.MaxAttempts = 2
			w.sim.Fail(fault, 0)
			users := names("u", 300)
			w.submit("held", users, roleIDs(20))
			w.work()
			w.waitForCalls(6)
			w.sim.Recover()
			if job := w.finished("held"); job.State != ledger.StateCompleted {
				t.Errorf("got %+v, want everything removed once the fault was mended", job)
			}
			if n := len(w.letters()); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

func TestWhatOneBatchLearnedServesTheOthers(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{SystemRoles: []int64{roleIDs(20)[7]}})
	users, roles := names("u", 2000), roleIDs(20)
	w.grant(users, roles)
	w.qps = 200 // so that the first batch has learned before the last begins
	w.submit("role", users, roles)
	w.work()
	job := w.finished("role")
	if want := (ledger.Pairs{Total: 40_000, Removed: 38_000, Dead: 2000}); job.Pairs != want {
		t.Errorf("got %+v, want %+v", job.Pairs, want)
	}
	if len(w.letters()) != 20 {
		t.Errorf("%d dead letters, want one per batch", len(w.letters()))
	}
	// 20 batches, and one search for the role: about 6 calls for each batch that was under way before it was found.
	if job.APICalls > 60 {
		t.Errorf("%d calls for 20 batches with one bad role", job.APICalls)
	}
}

func TestOnePoisonousIDDoesNotTakeTheOthersWithIt(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{UserCodes: map[string]int{"u033": -1}})
	w.config.MaxAttempts = 3
	users, roles := names("u", 100), roleIDs(10)
	w.grant(users, roles)
	w.grant(names("v", 300), roles)
	w.submit("poisoned", users, roles)
	w.work()
	// Attempts count only while the rest of the fleet succeeds.
	feed, stopFeeding := context.WithCancel(t.Context())
	defer stopFeeding()
	go func() {
		for i := 0; feed.Err() == nil; i++ {
			r, _ := enqueue.FromLists([]string{fmt.Sprintf("v%03d", i%300)}, roles[:1])
			w.client.Submit(feed, enqueue.Submission{JobID: fmt.Sprint("feed", i), Removals: r})
			wait.For(feed, 10*time.Millisecond)
		}
	}()
	job := w.finished("poisoned")
	if want := (ledger.Pairs{Total: 1000, Removed: 990, Dead: 10}); job.Pairs != want {
		t.Errorf("got %+v, want %+v", job.Pairs, want)
	}
	for name, l := range w.letters() {
		if l.Failure.Reason != tasks.ReasonBusy || !slices.Equal(l.UserIDs, []string{"u033"}) {
			t.Errorf("letter %s: %v %v", name, l.UserIDs, l.Failure)
		}
	}
}

func TestACancelledJobIsNotCalledAnyMore(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{Open: true})
		w.submit("cancelled", names("u", 500), roleIDs(20))
		job, err := w.ledger.Cancel(t.Context(), "cancelled", "somebody@here", "they stay")
		if err != nil || job.State != ledger.StateCancelled || job.Pairs.Cancelled != 10_000 {
			t.Fatalf("%+v, %v", job, err)
		}
		w.work()
		w.submit("after", names("u", 1), roleIDs(1))
		w.finished("after")
		for _, c := range w.sim.Calls() {
			if len(c.Users) > 1 {
				t.Errorf("call of %d users of a cancelled job", len(c.Users))
			}
		}
	})
}

func TestALetterThatIsRunIsTriedAgainForItsOwnJob(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		w := newWorld(t, rdb, simulator.Options{})
		users, roles := names("u", 100), roleIDs(20)
		w.grant(users, roles)
		w.sim.SetUser(simulator.Invalid, "u001", "u002")
		w.submit("replay", users, roles)
		w.work()
		w.finished("replay")

		w.sim.SetUser(simulator.Accepted, "u001")
		for name := range w.letters() {
			if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, "replay:"+name); err != nil {
				t.Fatal(err)
			}
		}
		w.until(func() bool {
			job := w.finished("replay")
			return job.Pairs.Removed == 99*20 && job.Pairs.Dead == 20
		})
		w.until(func() bool { return len(w.letters()) == 1 })
		for name, l := range w.letters() {
			if !slices.Equal(l.UserIDs, []string{"u002"}) || tasks.Generation(name) != 2 || l.Failure.Attempts != 2 {
				t.Errorf("letter %s: %v, %+v; want the second generation of u002 with 2 attempts", name, l.UserIDs, l.Failure)
			}
		}
		if w.sim.Holds("u001", roles[0]) {
			t.Error("u001 still holds the role")
		}
	})
}

func TestALonePoisonedBatchEndsByItsAge(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{UserCodes: map[string]int{"u001": -1}})
	w.config.MaxAttempts, w.config.BusyMaxAge = 4, 200*time.Millisecond
	users, roles := names("u", 4), roleIDs(3)
	w.grant(users, roles)
	w.submit("lone", users, roles)
	w.work()
	job := w.finished("lone")
	if want := (ledger.Pairs{Total: 12, Removed: 9, Dead: 3}); job.Pairs != want {
		t.Errorf("got %+v, want %+v", job.Pairs, want)
	}
}

func TestASearchNeedsNoPlaceOfItsOwnAmongTheCallsInFlight(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{BadUsers: []string{"u013", "u200"}})
	w.config.Concurrency = 1
	users, roles := names("u", 300), roleIDs(20)
	w.grant(users, roles)
	w.submit("narrow", users, roles)
	w.work()
	if job := w.finished("narrow"); job.Pairs.Dead != 40 || job.Pairs.Removed != 298*20 {
		t.Errorf("got %+v", job.Pairs)
	}
}

// The planner's rectangles overlap, so a search may ask about pairs that are another part's to count.
func TestASearchGoesOnOverPairsThatAreNotItsOwn(t *testing.T) {
	for name, opt := range map[string]simulator.Options{
		"bad request": {UserCodes: map[string]int{"u03": 400002}},
		"both kinds":  {BadUsers: []string{"u03"}, BadRoles: []int64{roleIDs(3)[1]}},
	} {
		t.Run(name, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			w := newWorld(t, rdb, opt)
			users, roles := []string{"u01", "u02", "u03", "u04", "u05", "u06"}, roleIDs(3)
			w.grant(users, roles)
			whole := tasks.Part{JobID: "overlap", Part: "0", UserIDs: users, RoleIDs: roles, Own: []byte{0b10101010, 0b10101010, 0b10}}
			rest := tasks.Part{JobID: "overlap", Part: "1", UserIDs: users, RoleIDs: roles, Own: []byte{0b01010101, 0b01010101, 0b01}}
			if err := producer.Enqueue(t.Context(), asynq.NewClientFromRedisClient(rdb), []tasks.Part{whole, rest}, tasks.QueueDefault, time.Time{}); err != nil {
				t.Fatal(err)
			}
			w.work()
			w.waitFor("overlap")
			w.until(func() bool { j, err := w.ledger.Get(t.Context(), "overlap"); return err == nil && j.Pairs.Total == 18 })
			job := w.finished("overlap")
			for key, row := range w.rows("overlap") {
				bad := row.UserID == "u03" || opt.BadRoles != nil && row.RoleID == roles[1]
				if want := map[bool]ledger.Kind{true: ledger.Dead, false: ledger.Removed}[bad]; row.Outcome.Kind != want {
					t.Errorf("%s is %s, want %s", key, row.Outcome.Kind, want)
				}
			}
			if job.APICalls > 60 {
				t.Errorf("%d calls for 6 × 3 pairs", job.APICalls)
			}
		})
	}
}

// What a call has taken is removed, whoever counts it: a cancel that comes before the owner's own turn changes nothing of it.
func TestWhatACallTookOfAnotherPartIsNotCancelled(t *testing.T) {
	w, _, visits := overlap(t)
	visits[0].tellOwners(pairs.SizeOf(visits[0].part).Whole(), "request")
	if _, err := w.ledger.Cancel(t.Context(), "overlap", "me", "mistaken"); err != nil {
		t.Fatal(err)
	}
	want := map[string]ledger.Kind{"ann/1": ledger.Removed, "ann/2": ledger.Cancelled, "bob/1": ledger.Cancelled}
	for pair, row := range w.rows("overlap") {
		if row.Outcome.Kind != want[pair] {
			t.Errorf("%s is %s, want %s", pair, row.Outcome.Kind, want[pair])
		}
	}
	if job, err := w.ledger.Get(t.Context(), "overlap"); err != nil || job.Pairs != (ledger.Pairs{Total: 3, Removed: 1, Cancelled: 2}) {
		t.Errorf("got %+v, %v", job.Pairs, err)
	}
}

func TestACancelledJobsRecordOutlivesItsScheduledTasks(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	r, err := enqueue.FromLists([]string{"u"}, []int64{1})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(60 * 24 * time.Hour)
	if _, err := w.client.Submit(t.Context(), enqueue.Submission{JobID: "far", Removals: r, At: at}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ledger.Cancel(t.Context(), "far", "me", "stays"); err != nil {
		t.Fatal(err)
	}
	if ttl := rdb.PTTL(t.Context(), "unrole:job:{far}").Val(); ttl < time.Until(at)+ledger.DefaultRetention-time.Hour {
		t.Errorf("the record vanishes in %s, before its task would run and be taken for a new job", ttl)
	}
}

// lateOnce grants every slot at once, the first one a second late.
type lateOnce struct {
	mu      sync.Mutex
	granted int
	told    []pace.AnswerKind
}

func (p *lateOnce) Reserve(ctx context.Context) (pace.Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.granted++
	g := pace.Grant{At: time.Now()}
	if p.granted == 1 {
		g.At = g.At.Add(-time.Second)
	}
	return g, ctx.Err()
}

func (p *lateOnce) Report(_ context.Context, _ pace.Grant, o pace.Answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = append(p.told, o.Kind)
}

// Promise 5: a call that fell behind its slot, because the ledger took its time, does not go out together with those of
// the next slots.
func TestACallThatMissedItsSlotWaitsForAnother(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true})
	w.submit("late", names("u", 3), roleIDs(2))
	pacer := &lateOnce{}
	worker, err := New(Config{Redis: rdb, DingTalk: instant{}, Pacer: pacer, Ledger: w.ledger, CheckInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { worker.Run(ctx) })
	job := w.finished("late")
	cancel()
	running.Wait()
	pacer.mu.Lock()
	defer pacer.mu.Unlock()
	if job.APICalls != 1 || len(pacer.told) < 2 || pacer.told[0] != pace.Unused || !slices.Contains(pacer.told, pace.Accepted) {
		t.Errorf("%d calls, %v: want the first slot unused and the next one taken", job.APICalls, pacer.told)
	}
}
