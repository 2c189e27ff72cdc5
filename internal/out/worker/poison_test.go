package worker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// Nothing else is in the fleet. The users of the last part have no other role in it: what shows that it is not they is
// elsewhere in the job.
func TestAPoisonousRoleOfManyUsersTakesNobodyWithIt(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, RoleCodes: map[int64]int{5: -1}})
	w.config.MaxAttempts = 3
	r, err := enqueue.FromLists(names("u", 150), []int64{1, 2, 3, 4, 5, 6, 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range names("v", 30) {
		r.Add(u, 5)
		r.Add(u, 8)
	}
	for _, u := range names("w", 30) {
		r.Add(u, 8)
	}
	w.submitSet("job", r)
	w.work()
	job := w.finished("job")
	if want := (ledger.Pairs{Total: 150*7 + 90, Removed: 150*6 + 60, Dead: 180}); job.Pairs != want {
		t.Errorf("%+v, want %+v", job.Pairs, want)
	}
	for name, l := range w.letters() {
		if l.Failure.Reason != tasks.ReasonBusy || !slices.Equal(l.RoleIDs, []int64{5}) {
			t.Errorf("letter %s: roles %v, %v", name, l.RoleIDs, l.Failure)
		}
	}
	if n := len(w.letters()); n > 6 {
		t.Errorf("%d letters, want one or two a batch", n)
	}
}

// alone submits somebody whose every call is busy, and three roles of somebody else that are removed; the two share nothing.
func (w *world) alone(jobID string) {
	w.Helper()
	r := &enqueue.Removals{}
	for role := range int64(3) {
		r.Add("taken", role+1)
	}
	r.Add("poison", 9)
	w.submitSet(jobID, r)
}

func TestWhatWasTakenOfTheJobProvesThatDingTalkIsUp(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, UserCodes: map[string]int{"poison": -1}})
	w.config.MaxAttempts = 4
	w.alone("job")
	w.work()
	job := w.finished("job")
	if want := (ledger.Pairs{Total: 4, Removed: 3, Dead: 1}); job.Pairs != want {
		t.Errorf("%+v, want %+v", job.Pairs, want)
	}
	for _, c := range w.sim.Calls() {
		if !slices.Equal(c.Users, []string{"taken"}) && !slices.Equal(c.Users, []string{"poison"}) {
			t.Errorf("a call of %v: %v", c.Users, c.Roles)
		}
	}
}

// callsOf is how many calls were about somebody.
func (w *world) callsOf(user string) (n int) {
	for _, c := range w.sim.Calls() {
		if slices.Contains(c.Users, user) {
			n++
		}
	}
	return n
}

func TestWhatWasGivenBackIsNoProof(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, UserCodes: map[string]int{"poison": -1}})
	w.config.MaxAttempts = 1000
	w.alone("job")
	w.work()
	w.until(func() bool { return w.callsOf("taken") >= 4 }) // the removal, and three proofs
	r, err := enqueue.FromLists([]string{"taken"}, []int64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	w.restore("given", r)
	w.finished("given")
	taken, poison := w.callsOf("taken"), w.callsOf("poison")
	w.until(func() bool { return w.callsOf("poison") >= poison+20 })
	if n := w.callsOf("taken") - taken; n > 0 {
		t.Errorf("%d calls about what was given back", n)
	}
	for role := range int64(3) {
		if !w.sim.Holds("taken", role+1) {
			t.Errorf("role %d is gone again", role+1)
		}
	}
}

// What may be repeated is what the ledger has as done, of a user who leaves, under the same lead, and of no part of the other
// action that has come since.
func TestAWitnessStandsWhileNobodySaysOtherwise(t *testing.T) {
	part := &tasks.Part{JobID: "job", Part: "0", UserIDs: []string{"a", "b"}, RoleIDs: []int64{1, 2}}
	v := func(lead lease.Fence) *visit { return &visit{part: part, lead: lead} }
	kept := func() *witnesses {
		ws := newWitnesses()
		ws.keep(v("1"), pairs.Rectangle{Users: []pairs.User{1}, Roles: []pairs.Role{0, 1}})
		return ws
	}
	if x := kept().of(v("1")); x == nil || x.pair != (pairs.Pair{User: 1, Role: 0}) {
		t.Fatalf("witness %+v", x)
	}
	if kept().of(v("2")) != nil {
		t.Error("what was kept under an earlier lead is a witness")
	}
	for _, c := range []struct {
		users []string
		roles []int64
		stays bool
	}{{[]string{"b"}, []int64{1, 7}, false}, {[]string{"b"}, []int64{2}, true}, {[]string{"a"}, []int64{1}, true}} {
		ws := kept()
		ws.drop(&tasks.Part{Action: tasks.Add, UserIDs: c.users, RoleIDs: c.roles})
		if stays := ws.of(v("1")) != nil; stays != c.stays {
			t.Errorf("a restore of %v × %v: witness kept %t, want %t", c.users, c.roles, stays, c.stays)
		}
	}
}

// looking is asked before each command that Redis is sent.
type looking func()

func (looking) DialHook(next redis.DialHook) redis.DialHook { return next }

func (look looking) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		look()
		return next(ctx, cmd)
	}
}

func (look looking) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		look()
		return next(ctx, cmds)
	}
}

// Whoever has their turn by a settlement takes away what could be repeated: it has to be there by then.
func TestAWitnessIsKeptBeforeItsPairIsSettled(t *testing.T) {
	w, worker, visits := overlap(t)
	g := visits[0].alone(pairs.SizeOf(visits[0].part).Whole())
	if err := worker.lookAgain(g, g.whole); err != nil {
		t.Fatal(err)
	}
	var kept []bool
	w.rdb.AddHook(looking(func() { kept = append(kept, g.api.witnesses.of(visits[0]) != nil) }))
	worker.done(g, g.whole, outcome.Decision{RequestID: "request"}, true)
	g.restOwners()
	if len(kept) == 0 || slices.Contains(kept, false) {
		t.Errorf("before each word to Redis a witness was kept: %v", kept)
	}
}

func TestWhoStaysIsNoProof(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, UserCodes: map[string]int{"poison": -1}})
	w.config.MaxAttempts = 1000
	w.alone("job")
	w.work()
	w.until(func() bool { return w.callsOf("taken") >= 3 })
	if _, err := w.ledger.CancelUsers(t.Context(), []string{"taken"}, "somebody@here", "stays"); err != nil {
		t.Fatal(err)
	}
	poison := w.callsOf("poison")
	w.until(func() bool { return w.callsOf("poison") >= poison+2 })
	taken, poison := w.callsOf("taken"), w.callsOf("poison")
	w.until(func() bool { return w.callsOf("poison") >= poison+20 })
	if n := w.callsOf("taken") - taken; n > 0 {
		t.Errorf("%d calls about somebody who stays", n)
	}
}

// What is tried next is open, and all of what it is down to; what DingTalk has taken goes first, and a user nobody knows is never tried
// with a role nobody knows while there is anything else.
func TestWhatIsKnownToPassGoesBeforeWhatIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := pairs.Size{Users: rapid.IntRange(1, 6).Draw(t, "users"), Roles: rapid.IntRange(1, 6).Draw(t, "roles")}
		open, isKnown := pairs.None(size), map[any]bool{}
		var known pairs.Rectangle
		for u, r := range size.Whole().All() {
			if rapid.Bool().Draw(t, "open") {
				open.Add(u, r)
			}
		}
		for u := range pairs.User(size.Users) {
			if isKnown[u] = rapid.Bool().Draw(t, "known user"); isKnown[u] {
				known.Users = append(known.Users, u)
			}
		}
		for r := range pairs.Role(size.Roles) {
			if isKnown[r] = rapid.Bool().Draw(t, "known role"); isKnown[r] {
				known.Roles = append(known.Roles, r)
			}
		}
		rank := func(u pairs.User, r pairs.Role) int {
			return map[[2]bool]int{{true, true}: 0, {false, true}: 1, {true, false}: 2, {false, false}: focusAll}[[2]bool{isKnown[u], isKnown[r]}]
		}
		best, left := focusAll, 0
		for u, r := range size.Whole().All() {
			if open.Has(u, r) {
				best = min(best, rank(u, r))
				left++
			}
		}
		of, kind := focus(open, known)
		if left > 0 && kind != best {
			t.Fatalf("focus %d, want %d", kind, best)
		}
		tried := open.Within(of)
		for u, r := range size.Whole().All() {
			if open.Has(u, r) && (rank(u, r) == best) != tried.Has(u, r) {
				t.Fatalf("user %d and role %d: tried %v", u, r, tried.Has(u, r))
			}
		}
	})
}

// A user and a role that are both poison leave nobody alone in a half of either side.
func TestAPoisonousUserAndAPoisonousRoleOfOneBatchTakeNobodyWithThem(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{Open: true, UserCodes: map[string]int{"u007": -1}, RoleCodes: map[int64]int{roleIDs(10)[3]: -1}})
	w.config.MaxAttempts = 3
	w.submit("job", names("u", 40), roleIDs(10))
	w.work()
	if job := w.finished("job"); job.Pairs != (ledger.Pairs{Total: 400, Removed: 39 * 9, Dead: 40 + 9}) {
		t.Errorf("%+v", job.Pairs)
	}
	for name, l := range w.letters() {
		if l.Failure.Reason != tasks.ReasonBusy {
			t.Errorf("letter %s: %v", name, l.Failure)
		}
	}
}

// The tries of somebody who is set apart are no tries of whoever is left in the batch: DingTalk may be busy by chance when they are
// tried alone.
func TestWhoIsLeftInTheBatchHasAllAttemptsAgain(t *testing.T) {
	_, worker, v := apart(t, &dingtalk.Client{})
	most := worker.cfg.MaxAttempts
	busy := outcome.Decision{Answered: true, Failure: tasks.Failure{Reason: tasks.ReasonBusy}}
	v.api.jobs.busy(v.part.JobID)
	v.api.jobs.passed(v.part, pairs.Rectangle{Users: []pairs.User{0}, Roles: []pairs.Role{0}}) // ann is known
	since := time.Now().Add(-time.Hour)
	v.begin()
	if _, err := v.note(func(t *ledger.Tries) { *t = ledger.Tries{Attempts: most, Accepted: 30, All: most, BusySince: since} }); err != nil {
		t.Fatal(err)
	}
	if err := v.setApart(t.Context(), &spent{answer: busy, of: pairs.Rectangle{Users: []pairs.User{0}, Roles: []pairs.Role{0}}}); err != nil {
		t.Fatal(err)
	}
	left := v.rectangles()
	if len(left) != 1 || !slices.Equal(left[0].Users, []pairs.User{1}) {
		t.Fatalf("%v is left, want bob", left)
	}
	bob := v.alone(left[0]).members[0]
	for attempt := 1; attempt <= most; attempt++ {
		v.begin()
		var e *end
		if err := worker.tryLater(bob, busy, int64(30+attempt), 0); !errors.As(err, &e) || (e.kind == endSpent) != (attempt == most) {
			t.Fatalf("busy for the %d. time of %d, bob ends as %v", attempt, most, err)
		}
		v.begin()
		if _, err := v.note(func(t *ledger.Tries) { t.Rests = time.Time{} }); err != nil { // the pause goes by
			t.Fatal(err)
		}
	}
	if have := v.claim.State.Tries.BusySince; !have.Equal(since) {
		t.Errorf("busy since %v, want %v", have, since)
	}
}

// What another part of the job shows narrows what is in question. Neither the answer that was under way, nor the tries before, were
// about what is in question then.
func TestWhatIsInQuestionAnewHasAllAttempts(t *testing.T) {
	_, worker, v := apart(t, &dingtalk.Client{})
	most := worker.cfg.MaxAttempts
	busy := outcome.Decision{Answered: true, Failure: tasks.Failure{Reason: tasks.ReasonBusy}}
	v.api.jobs.busy(v.part.JobID)
	v.begin()
	if _, err := v.note(func(t *ledger.Tries) { *t = ledger.Tries{Attempts: most, Accepted: 30, All: most} }); err != nil {
		t.Fatal(err)
	}
	attempt := func(m *member) *end {
		v.begin()
		var e *end
		if err := worker.tryLater(m, busy, v.claim.State.Tries.Accepted+1, 0); !errors.As(err, &e) {
			t.Fatal(err)
		}
		v.begin()
		if _, err := v.note(func(t *ledger.Tries) { t.Rests = time.Time{} }); err != nil { // the pause goes by
			t.Fatal(err)
		}
		return e
	}
	before := &member{stay: newStay(t.Context(), v)}
	if asked := before.asked.Hull(); len(asked.Users) != 1 || len(before.of.Users) != 2 {
		t.Fatalf("%v of %v is asked for, want one of two users", asked, before.of)
	}
	v.api.jobs.passed(v.part, pairs.Rectangle{Users: []pairs.User{0}, Roles: []pairs.Role{0}}) // ann, in another part
	if e := attempt(before); e.kind != endLater {
		t.Fatalf("after %d attempts for two users: %v", most+1, e)
	}
	for n := 1; n <= most; n++ {
		ann := &member{stay: newStay(t.Context(), v)}
		if !slices.Equal(ann.of.Users, []pairs.User{0}) {
			t.Fatalf("users %v are in question, want ann", ann.of.Users)
		}
		if e := attempt(ann); (e.kind == endSpent) != (n == most) {
			t.Fatalf("busy for the %d. time of %d, ann ends as %v", n, most, e)
		}
	}
}
