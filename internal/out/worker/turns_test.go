package worker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

// stalling holds what Redis is asked about a job until it is let go, and counts how often it is asked.
type stalling struct {
	about   string
	letGo   chan struct{}
	stalled chan struct{}
	once    sync.Once
	asked   atomic.Int32
}

func (s *stalling) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *stalling) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if slices.ContainsFunc(cmd.Args(), func(a any) bool { text, _ := a.(string); return strings.Contains(text, s.about) }) {
			s.asked.Add(1)
			s.once.Do(func() { close(s.stalled) })
			<-s.letGo
		}
		return next(ctx, cmd)
	}
}

func (s *stalling) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// readSlowly is a large and a small job, and what Redis is asked about the large one.
func readSlowly(t *testing.T) (*turns, *stalling) {
	t.Helper()
	_, rdb := redistest.Memory(t)
	w := newWorld(t, rdb, simulator.Options{})
	w.submit("large", names("u", 3), roleIDs(2))
	w.submit("small", names("u", 3), roleIDs(1))
	slow := &stalling{about: "job:{large}", letGo: make(chan struct{}), stalled: make(chan struct{})}
	rdb.AddHook(slow)
	return newTurns(ledger.New(rdb, 0)), slow
}

// read has so many tasks ask for the pairs of the large job.
func (s *stalling) read(t *testing.T, turns *turns, tasks int) (all *sync.WaitGroup) {
	all = &sync.WaitGroup{}
	for range tasks {
		all.Go(func() {
			if pairs, err := turns.of(t.Context(), "large"); err != nil || len(pairs) != 3 {
				t.Errorf("%v, %v", pairs, err)
			}
		})
	}
	return all
}

// Whoever waits for the record of a large job keeps nobody from another one.
func TestAJobThatIsReadSlowlyHoldsUpNoOther(t *testing.T) {
	turns, slow := readSlowly(t)
	reading := slow.read(t, turns, 3)
	<-slow.stalled
	if pairs, err := turns.of(t.Context(), "small"); err != nil || len(pairs) != 3 {
		t.Errorf("%v, %v", pairs, err)
	}
	close(slow.letGo)
	reading.Wait()
	if len(turns.reads) > 0 {
		t.Errorf("%d records are being read", len(turns.reads))
	}
}

// A worker that was frozen, or cut off from Redis, while it read what is open of a job, does not have others wait for that for long.
func TestWhatWasReadDuringAnOutageIsReadAnewSoon(t *testing.T) {
	for reading, want := range map[time.Duration]time.Duration{time.Millisecond: unsettledFor, 100 * time.Millisecond: 2 * time.Second,
		9 * time.Second: unsettledMost, time.Hour: unsettledMost} {
		if got := lasting(reading); got != want {
			t.Errorf("what took %v to read is true for %v, want %v", reading, got, want)
		}
	}
}

// All who wait for a record share what one of them reads, whatever dead letters of other jobs are tried again meanwhile; those of
// the job itself have it read anew.
func TestARecordIsReadOnceForAllUnlessALetterOfItIsTriedAgain(t *testing.T) {
	for forgotten, anew := range map[string]bool{"": false, "small": false, "large": true} {
		turns, slow := readSlowly(t)
		reading := slow.read(t, turns, 1)
		<-slow.stalled
		turns.forget(forgotten)
		close(slow.letGo)
		reading.Wait()
		once := slow.asked.Load()
		slow.read(t, turns, 10).Wait()
		if again := slow.asked.Load() - once; (again > 0) != anew || again > once {
			t.Errorf("a letter of job %q was tried again while the record was read, with %d commands: %d more for 10 who come later", forgotten, once, again)
		}
	}
}
