package ledger

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// contents is all that Redis has of a job.
func contents(t *testing.T, rdb *redis.Client, id string) map[string]any {
	t.Helper()
	have := map[string]any{}
	for _, key := range keys(id) {
		if kind := rdb.Type(t.Context(), key).Val(); kind == "hash" {
			have[key] = rdb.HGetAll(t.Context(), key).Val()
		} else if kind == "stream" {
			have[key] = rdb.XLen(t.Context(), key).Val()
		}
	}
	return have
}

// fenced is a job of one part, and how it is claimed in the name of a lead.
func fenced(t *testing.T, rdb *redis.Client) (l *Ledger, of func(lease.Fence, Request) (*Claim, error)) {
	l = New(rdb, 0)
	part := tasks.Part{UserIDs: []string{"a", "b"}, RoleIDs: []int64{1}}
	job(t, l, "j", part, part)
	part.JobID, part.Part = "j", "0"
	return l, func(lead lease.Fence, rq Request) (*Claim, error) {
		p := part
		rq.Part, rq.Lane, rq.Lead = &p, tasks.QueueDefault, lead
		claims, err := l.Claim(t.Context(), rq)
		if err != nil {
			return nil, err
		}
		return claims[0], nil
	}
}

var (
	firstRemoved = Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0}}, Outcome: Outcome{Kind: Removed}}
	firstDead    = Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0}}, Outcome: Outcome{Kind: Dead, Letter: "0-u0", Reason: tasks.ReasonInvalidUser}}
)

// saysNothing checks that nothing is changed by what is said of a claim whose lead has passed on.
func saysNothing(t *testing.T, l *Ledger, rdb *redis.Client, stale *Claim, of func(lease.Fence, Request) (*Claim, error), want error) {
	t.Helper()
	before := contents(t, rdb, "j")
	for what, say := range map[string]func() error{
		"look":   func() error { _, err := of(stale.lead, Request{First: true}); return err },
		"begin":  func() error { _, err := of(stale.lead, Request{Begin: true, Again: true}); return err },
		"settle": func() error { _, err := l.Settle(t.Context(), stale, firstRemoved); return err },
		"note":   func() error { return l.Note(t.Context(), stale, func(s *PartState) { s.Tries.All++ }) },
		"split": func() error {
			return l.Split(t.Context(), stale, []tasks.Part{{JobID: "j", Part: "0.0", UserIDs: []string{"a"}, RoleIDs: []int64{1}}})
		},
		"rest":   func() error { return l.Rest(t.Context(), stale, true) },
		"learn":  func() error { return l.Learn(t.Context(), stale, UserField("a"), tasks.Failure{}) },
		"forget": func() error { return l.Forget(t.Context(), stale, UserField("a")) },
	} {
		if err := say(); !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := contents(t, rdb, "j"); !reflect.DeepEqual(before, after) {
		t.Errorf("who is stale has changed\n%v\nto\n%v", before, after)
	}
}

func must(t *testing.T) func(*Claim, error) *Claim {
	return func(c *Claim, err error) *Claim {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// Who has lost the tasks to a later lead, frozen or cut off, writes no further word of a job that the later one looked at.
func TestAnEarlierLeadSaysNothingMoreOfAJob(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l, of := fenced(t, rdb)
		must := must(t)
		early := must(of("5", Request{Begin: true}))
		must(of("5", Request{Begin: true, Again: true})) // its own number is no later one
		if err := l.Note(t.Context(), early, func(s *PartState) { s.Tries.All = 1 }); err != nil {
			t.Fatal(err)
		}
		must(of("7", Request{First: true}))
		late := must(of("7", Request{Begin: true, Again: true}))

		saysNothing(t, l, rdb, early, of, ErrStale)

		if _, err := l.Settle(t.Context(), late, firstRemoved); err != nil {
			t.Error("the later lead:", err)
		}
		if job, err := l.Cancel(t.Context(), "j", "me", "no"); err != nil || job.Pairs.Removed != 1 {
			t.Errorf("an operator: %+v, %v", job, err)
		}
	})
}

// Who looks again while something is settled may have their reply after that. It takes nothing back: what is dead would be found bad once
// more, and wait in two letters.
func TestALookFromBeforeASettlementTakesNothingBack(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l, of := fenced(t, rdb)
		must := must(t)
		c := must(of("5", Request{Begin: true}))
		early := must(of("5", Request{Begin: true, Again: true}))
		if _, err := l.Settle(t.Context(), c, firstDead); err != nil {
			t.Fatal(err)
		}
		if c.Refresh(early); !c.DeadIn("0-u0").Any() {
			t.Error("what was settled is open again")
		}
		c.Refresh(must(of("5", Request{Again: true})))
		if !c.DeadIn("0-u0").Any() {
			t.Error("the record says otherwise")
		}
	})
}

// A Redis that was started again, or a replica that took its place, may have lost what was written last: who knew that writes
// nothing of it there. What a call came to that the record knows of is true on any server, but for what has a letter: that may be lost.
func TestWhatWasKnownOfAnotherServerIsNotWrittenToThisOne(t *testing.T) {
	rdb := redistest.Start(t).Client()
	l, of := fenced(t, rdb)
	must := must(t)
	here, err := redisconn.RunIDs(t.Context(), rdb)
	if err != nil || len(here) != 1 {
		t.Fatal(here, err)
	}
	c := must(of(lease.NewFence(5, here), Request{First: true}))
	c.lead = lease.NewFence(5, []string{"before"})
	saysNothing(t, l, rdb, c, of, ErrReplaced)

	must(of(lease.NewFence(5, append(here, "another master")), Request{Begin: true, Again: true}))
	if _, err := l.Settle(t.Context(), c, firstDead); !errors.Is(err, ErrReplaced) {
		t.Error("what is dead, whose letter was enqueued on the server before:", err)
	}
	if _, err := l.Settle(t.Context(), c, firstRemoved); err != nil {
		t.Error("what a call came to:", err)
	}
	if _, err := l.Settle(t.Context(), c, firstRemoved); !errors.Is(err, ErrReplaced) {
		t.Error("when that is written, there is no call any more:", err)
	}
}

// Whatever happens to the calls of a part, its count is that of the calls in a row which nobody came back from.
func TestOnlyCallsThatTookTheirWorkerAlongCount(t *testing.T) {
	_, rdb := redistest.Memory(t)
	rapid.Check(t, func(rt *rapid.T) {
		if err := rdb.FlushAll(context.Background()).Err(); err != nil {
			rt.Fatal(err)
		}
		l, term := New(rdb, 0), int64(1)
		claim := func(rq Request) *Claim {
			rq.Part, rq.Lane, rq.Lead = &tasks.Part{JobID: "j", Part: "0", UserIDs: []string{"a"}, RoleIDs: []int64{1}}, tasks.QueueDefault, lease.NewFence(term, nil)
			claims, err := l.Claim(context.Background(), rq)
			if err != nil {
				rt.Fatal(err)
			}
			return claims[0]
		}
		c := claim(Request{First: true})
		crashes, called := 0, false
		ok := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		inCall := func(do func()) func(*rapid.T) {
			return func(rt *rapid.T) {
				if !called {
					rt.Skip("there is no call")
				}
				do()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"a call begins":        func(*rapid.T) { c, called = claim(Request{Begin: true, Again: true}), true },
			"it was not made":      inCall(func() { ok(l.Rest(context.Background(), c, false)); called = false }),
			"it was answered":      inCall(func() { ok(l.Rest(context.Background(), c, true)); crashes, called = 0, false }),
			"its answer is kept":   inCall(func() { ok(l.Note(context.Background(), c, func(*PartState) {})); crashes, called = 0, false }),
			"somebody looks at it": func(*rapid.T) { c = claim(Request{}) },
			"the worker is replaced": func(rt *rapid.T) {
				term += int64(rapid.IntRange(0, 1).Draw(rt, "later"))
				c = claim(Request{First: true})
				if called {
					crashes, called = crashes+1, false
				}
			},
			"": func(rt *rapid.T) {
				if got := claim(Request{}).Crashes; got != crashes {
					rt.Fatalf("%d calls are counted, %d took their worker along", got, crashes)
				}
				if err := l.Each(context.Background(), "j", func(rec PartRecord) error {
					if rec.Begun != called {
						rt.Fatalf("being called: %t, want %t", rec.Begun, called)
					}
					return nil
				}); err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}
