package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A Redis that answers, but takes no writes for now, is away as much as one that does not answer.
func TestACallIsNotRepeatedBecauseRedisRefusedToKeepIt(t *testing.T) {
	for _, refusal := range []struct{ name, begin, end string }{
		{"OOM", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
		{"READONLY", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
	} {
		t.Run(refusal.name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t).Client()
			do := func(command string) {
				var args []any
				for _, word := range strings.Fields(command) {
					args = append(args, word)
				}
				if err := rdb.Do(context.Background(), args...).Err(); err != nil {
					t.Error(err)
				}
			}
			var once sync.Once
			refusing := make(chan struct{})
			w := newWorld(t, rdb, simulator.Options{Open: true, Observe: func(simulator.Call) {
				once.Do(func() { do("CONFIG RESETSTAT"); do(refusal.begin); close(refusing) })
			}})
			w.submit("kept", names("u", 10), roleIDs(5))
			w.work()
			<-refusing
			w.until(func() bool { // the settlement has been refused, whatever else was
				stats, err := rdb.Info(t.Context(), "commandstats").Result()
				return err == nil && refusals(stats) >= 12
			})
			do(refusal.end)
			w.finished("kept")
			if n := w.sim.Stats().Removals; n != 1 {
				t.Errorf("%d calls for one batch", n)
			}
		})
	}
}

// refusals is how many script calls have failed.
func refusals(stats string) int {
	for line := range strings.Lines(stats) {
		if _, after, found := strings.Cut(line, "failed_calls="); found && strings.HasPrefix(line, "cmdstat_evalsha:") {
			n := 0
			fmt.Sscan(after, &n)
			return n
		}
	}
	return 0
}

func TestAJobThatIsCancelledWhileItsLetterIsTriedAgainEnds(t *testing.T) {
	_, rdb := redistest.Memory(t)
	var mu sync.Mutex
	var called func()
	w := newWorld(t, rdb, simulator.Options{Open: true, BadUsers: []string{"u001"}, Observe: func(simulator.Call) {
		mu.Lock()
		defer mu.Unlock()
		if called != nil {
			called()
			called = nil
		}
	}})
	w.submit("again", names("u", 3), roleIDs(2))
	w.work()
	w.finished("again")
	mu.Lock()
	called = func() {
		if _, err := w.ledger.Cancel(context.Background(), "again", "somebody", "in the middle of the call"); err != nil {
			t.Error(err)
		}
	}
	mu.Unlock()
	w.sim.Fail(simulator.FaultBusy, 0)
	for name := range w.letters() {
		if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, "again:"+name); err != nil {
			t.Fatal(err)
		}
	}
	w.until(func() bool { mu.Lock(); defer mu.Unlock(); return called == nil })
	w.sim.Recover()
	if job := w.finished("again"); job.Pairs != (ledger.Pairs{Total: 6, Removed: 4, Cancelled: 2}) {
		t.Errorf("got %+v, want the pairs of the letter cancelled", job.Pairs)
	}
	w.until(func() bool {
		n, err := rdb.LLen(t.Context(), "asynq:{dead-letter}:active").Result()
		return err == nil && n == 0
	})
	if n := len(w.letters()); n != 0 {
		t.Errorf("%d dead letters wait for pairs that are cancelled", n)
	}
}

// Two letters of one batch are called apart from each other, and the end of the one says nothing about the other.
func TestACancelLeavesALetterThatIsBeingCalledAlone(t *testing.T) {
	_, rdb := redistest.Memory(t)
	var mu sync.Mutex
	var called func(simulator.Call)
	w := newWorld(t, rdb, simulator.Options{Open: true, BadUsers: []string{"u001", "u002"}, Observe: func(c simulator.Call) {
		mu.Lock()
		do := called
		mu.Unlock()
		if do != nil {
			do(c)
		}
	}})
	w.submit("both", names("u", 3), roleIDs(2))
	w.work()
	w.finished("both")
	letterOf := map[string]string{}
	for name, l := range w.letters() {
		letterOf[l.UserIDs[0]] = "both:" + name
	}
	w.sim.SetUser(simulator.Accepted, "u001", "u002")
	cancelled := make(chan struct{})
	mu.Lock()
	called = func(c simulator.Call) {
		if !slices.Contains(c.Users, "u001") {
			return
		}
		defer close(cancelled)
		if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, letterOf["u002"]); err != nil {
			t.Error(err)
		}
		for range 1000 {
			if job, err := w.ledger.Get(context.Background(), "both"); err == nil && job.Pairs.Removed == 4 {
				break
			}
			wait.For(context.Background(), 5*time.Millisecond)
		}
		if _, err := w.ledger.Cancel(context.Background(), "both", "somebody", "u001 is being called"); err != nil {
			t.Error(err)
		}
	}
	mu.Unlock()
	if err := newInspector(rdb).RunTask(tasks.QueueDeadLetter, letterOf["u001"]); err != nil {
		t.Fatal(err)
	}
	<-cancelled
	if job := w.finished("both"); job.Pairs != (ledger.Pairs{Total: 6, Removed: 6}) {
		t.Errorf("got %+v, want what was being called to count as removed", job.Pairs)
	}
}

// A batch of one id is searched without a probe: the id is found while the search begins.
func TestAFindingThatCouldNotBeKeptIsFoundAgain(t *testing.T) {
	_, rdb := redistest.Memory(t)
	learned := &failsOnce{about: ledger.UserField("u000")}
	rdb.AddHook(learned)
	w := newWorld(t, rdb, simulator.Options{Open: true, BadUsers: []string{"u000"}})
	var log bytes.Buffer
	w.config.Log = zerolog.New(zerolog.SyncWriter(&log))
	w.submit("one", names("u", 1), roleIDs(1))
	stop := w.work()
	if job := w.finished("one"); job.Pairs.Dead != 1 {
		t.Errorf("got %+v, want the pair dead", job.Pairs)
	}
	stop()
	if !learned.failed.Load() {
		t.Error("no finding was lost")
	}
	if strings.Contains(log.String(), "panic") {
		t.Errorf("the worker panicked: %s", log.String())
	}
}

// failsOnce fails the first command that has an argument.
type failsOnce struct {
	about  string
	failed atomic.Bool
}

func (f *failsOnce) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *failsOnce) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.Contains(cmd.Args(), any(f.about)) && !f.failed.Swap(true) {
			err := errors.New("failed for a test")
			cmd.SetErr(err)
			return err
		}
		return next(ctx, cmd)
	}
}

func (f *failsOnce) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// Whoever archives a dead letter in the web UI loses nothing of what DingTalk said.
func TestALetterThatIsArchivedByHandKeepsItsReason(t *testing.T) {
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	w.grant([]string{"u000", "u001"}, roleIDs(2))
	w.sim.SetUser(simulator.Invalid, "u001")
	w.submit("archived", []string{"u000", "u001"}, roleIDs(2))
	w.work()
	w.finished("archived")
	var before tasks.Failure
	for name, l := range w.letters() {
		before = *l.Failure
		if err := newInspector(rdb).ArchiveTask(tasks.QueueDeadLetter, "archived:"+name); err != nil {
			t.Fatal(err)
		}
	}
	w.until(func() bool { return len(w.letters()) == 1 })
	for name, l := range w.letters() {
		if diff := cmp.Diff(before, *l.Failure); diff != "" || before.Reason != tasks.ReasonInvalidUser {
			t.Errorf("letter %s: %s %s", name, before.Reason, diff)
		}
	}
}
