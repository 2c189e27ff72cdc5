package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// accepting is a pacer whose slots come at once, when the fleet has got so many calls through.
type accepting int64

func (a accepting) Reserve(context.Context) (pace.Grant, error) {
	return pace.Grant{At: time.Now().Add(time.Minute), Accepted: int64(a)}, nil // never missed, however busy the machine is
}

func (accepting) Report(context.Context, pace.Grant, pace.Answer) {}

// answering answers every call alike and counts them.
type answering struct {
	Caller
	err   error
	calls int
}

func (*answering) Prepare(context.Context) {}

func (a *answering) RemoveRoles(context.Context, []int64, []string) (dingtalk.Reply, error) {
	a.calls++
	return dingtalk.Reply{}, a.err
}

// Only a try of the task itself spends an attempt, and nothing is repeated where the fleet has got something through anyway. The
// tries are those of a task that comes back from asynq.
func TestAProofIsNoAttempt(t *testing.T) {
	busy := &dingtalk.Error{Class: dingtalk.ClassBusy, ErrCode: -1, HasErrCode: true}
	for _, c := range []struct {
		what     string
		tries    ledger.Tries
		accepted accepting
		answer   error
		proves   bool // there is something to prove
		calls    int
		put      bool // off
		counts   bool // the next busy answer, though the fleet has got nothing through
	}{
		{"tries that all counted", ledger.Tries{All: 5, Attempts: 5, Accepted: 7}, 7, nil, false, 0, false, false},
		{"a batch that goes whole", ledger.Tries{All: 2, Attempts: 1, Accepted: 7}, 7, nil, false, 0, false, false},
		{"DingTalk is up", ledger.Tries{All: 5, Attempts: 2, Accepted: 7}, 7, nil, true, 1, false, false},
		{"DingTalk is busy", ledger.Tries{All: 5, Attempts: 2, Accepted: 7}, 7, busy, true, 1, true, false},
		{"no known answer", ledger.Tries{All: 5, Attempts: 4, Accepted: 7}, 7, &dingtalk.Error{Class: dingtalk.ClassUnknown, ErrCode: 1, HasErrCode: true}, true, 1, true, false},
		{"who was taken is gone", ledger.Tries{All: 5, Attempts: 2, Accepted: 7}, 7, &dingtalk.Error{Class: dingtalk.ClassUserGone, ErrCode: 60121, HasErrCode: true}, true, 1, false, true},
		{"others pass", ledger.Tries{All: 5, Attempts: 2, Accepted: 7}, 8, busy, true, 0, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, rdb := redistest.Memory(t)
			w := newWorld(t, rdb, simulator.Options{})
			cfg, calls := w.config, &answering{err: c.answer}
			cfg.Redis, cfg.DingTalk, cfg.Pacer, cfg.Ledger = rdb, calls, c.accepted, w.ledger
			worker, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			worker.ending, worker.stopping = t.Context(), t.Context()
			worker.cfg.DingTalk = calls // without a lead
			part := &tasks.Part{JobID: "job", Part: "0", UserIDs: []string{"taken", "ann", "bob"}, RoleIDs: []int64{1}}
			v := worker.visit(part.TaskID(), tasks.QueueDefault, part)
			if err := v.look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.ledger.Settle(t.Context(), v.claim, ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0}},
				Outcome: ledger.Outcome{Kind: ledger.Removed, At: time.Now()}}); err != nil {
				t.Fatal(err)
			}
			if err := w.ledger.Note(t.Context(), v.claim, func(s *ledger.PartState) { s.Tries = c.tries }); err != nil {
				t.Fatal(err)
			}
			x := v.unproven()
			if (x != nil) != c.proves {
				t.Fatalf("witness %+v", x)
			}
			if x == nil {
				return
			}
			running, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); v.api.run(running, worker) }()
			err = v.prove(t.Context(), x)
			stop()
			<-ended
			var e *end
			if put := errors.As(err, &e) && e.kind == endLater; put != c.put || err != nil && !put {
				t.Errorf("the proof ended with %v", err)
			}
			if calls.calls != c.calls {
				t.Errorf("%d calls, want %d", calls.calls, c.calls)
			}
			if got := v.claim.State.Tries.Attempts; got != c.tries.Attempts {
				t.Errorf("%d attempts, want %d", got, c.tries.Attempts)
			}
			next := v.claim.State.Tries
			if next.Busy(time.Now(), c.tries.Accepted, false); (next.Attempts > c.tries.Attempts) != c.counts {
				t.Errorf("the next busy answer is attempt %d", next.Attempts)
			}
			if w.begun("job") {
				t.Error("the task is marked as being called")
			}
		})
	}
}
