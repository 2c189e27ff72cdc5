package index

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

func of(t testing.TB, rdb redis.UniversalClient, secret string) *Index {
	t.Helper()
	x, err := New(Config{Redis: rdb, App: "app", Secret: []byte(secret), TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

var (
	job7  = Sign{JobNumber, "0007"}
	email = Sign{Email, "wang@example.com"}
)

// company reads two people of whom the first shares a staff number with the second, and counts how often.
func company(reads *atomic.Int32) Reader {
	return func(_ context.Context, add func(string, ...Sign) error) error {
		if reads != nil {
			reads.Add(1)
		}
		return errors.Join(add("wang", job7, email), add("li", job7))
	}
}

func find(t testing.TB, x *Index, s Sign) []string {
	t.Helper()
	ids, known, err := x.Find(t.Context(), s)
	if err != nil || !known {
		t.Fatalf("%v: known %t, %v", s, known, err)
	}
	return ids
}

func TestWhoHasASignIsFoundByItAndNothingInRedisTellsTheSign(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		x := of(t, rdb, "secret")
		if _, known, err := x.Find(t.Context(), job7); known || err != nil {
			t.Errorf("before anything was read: known %t, %v", known, err)
		}
		if err := x.Renew(t.Context(), time.Now(), company(nil)); err != nil {
			t.Fatal(err)
		}
		for sign, want := range map[Sign][]string{job7: {"wang", "li"}, email: {"wang"}, {Email, "0007"}: {}, {JobNumber, "7"}: {}} {
			if got := find(t, x, sign); !slices.Equal(got, want) {
				t.Errorf("%v: %v, want %v", sign, got, want)
			}
		}
		if got := find(t, of(t, rdb, "another secret"), job7); len(got) > 0 {
			t.Errorf("with another secret: %v", got)
		}
		for _, key := range redistest.Keys(t, rdb) {
			if rdb.Type(t.Context(), key).Val() != "hash" {
				continue
			}
			for field, value := range rdb.HGetAll(t.Context(), key).Val() {
				if s := field + value; strings.Contains(s, "0007") || strings.Contains(s, "example.com") {
					t.Errorf("Redis has %s: %s %s", key, field, value)
				}
			}
		}
	})
}

func TestOneProcessReadsAndTheOthersWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newClient := redistest.Virtual(t)
		var reads atomic.Int32
		slow := func(ctx context.Context, add func(string, ...Sign) error) error {
			time.Sleep(2 * time.Minute)
			return company(&reads)(ctx, add)
		}
		began := time.Now()
		var processes sync.WaitGroup
		for range 3 {
			x := of(t, newClient(), "secret")
			for range 2 {
				processes.Go(func() {
					if err := x.Renew(t.Context(), began, slow); err != nil {
						t.Error(err)
					}
					if got := find(t, x, email); !slices.Equal(got, []string{"wang"}) {
						t.Errorf("%v", got)
					}
				})
			}
		}
		processes.Wait()
		if n, took := reads.Load(), time.Since(began); n != 1 || took > 2*time.Minute+time.Second {
			t.Errorf("it was read %d times within %v", n, took)
		}
	})
}

// Who wants what was read after a moment is not served with what began to be read before it, though it ends later.
func TestWhatBeganToBeReadBeforeIsNotNewEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := of(t, redistest.Virtual(t)(), "secret")
		var reads atomic.Int32
		if err := x.Renew(t.Context(), time.Now(), company(&reads)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for _, since := range []time.Time{time.Now().Add(-time.Minute), time.Now()} {
			if err := x.Renew(t.Context(), since, company(&reads)); err != nil {
				t.Fatal(err)
			}
		}
		if n := reads.Load(); n != 2 {
			t.Errorf("it was read %d times, want twice", n)
		}
	})
}

// Redis tells whole milliseconds: by them what was read a moment ago may look as if it had begun before the moment that was asked for.
func TestADirectoryIsReadOnceHoweverSmallItIs(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		for i := range 500 {
			var reads atomic.Int32
			x := of(t, rdb, "secret")
			if err := x.Renew(t.Context(), time.Now(), company(&reads)); err != nil {
				t.Fatal(err)
			}
			if n := reads.Load(); n > 1 {
				t.Fatalf("directory %d was read %d times", i, n)
			}
		}
	})
}

func TestItIsKeptFreshForAsLongAsSomebodyAsksAndThenVanishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.Virtual(t)()
		x := of(t, rdb, "secret")
		var reads atomic.Int32
		hours := func(n int, asks bool) {
			for range 60 * n {
				if asks {
					if _, _, err := x.Find(t.Context(), job7); err != nil {
						t.Fatal(err)
					}
				}
				if err := x.Keep(t.Context(), company(&reads)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
		}
		hours(2, false)
		if n := reads.Load(); n != 0 {
			t.Errorf("nobody asked, and it was read %d times", n)
		}
		hours(4, true)
		if n := reads.Load(); n < 7 || n > 9 {
			t.Errorf("in four hours it was read %d times, want every half hour", n)
		}
		reads.Store(0)
		hours(4, false)
		if n := reads.Load(); n > 2 {
			t.Errorf("after the last question it was read %d times more", n)
		}
		for _, key := range redistest.Keys(t, rdb) {
			if !strings.Contains(key, ":lease") {
				t.Errorf("three hours after it was used last there is %s", key)
			}
		}
	})
}

// A builder that stood still until another one had the lease writes nothing any more.
func TestAStaleBuilderPublishesNothing(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		frozen, other := of(t, rdb, "secret"), of(t, rdb, "secret")
		if term, err := frozen.lease.Take(t.Context()); err != nil || !term.Mine {
			t.Fatal(term, err)
		}
		err := frozen.build(t.Context(), func(ctx context.Context, add func(string, ...Sign) error) error {
			if err := frozen.lease.End(ctx); err != nil {
				return err
			}
			if err := other.Renew(ctx, time.Now(), company(nil)); err != nil {
				return err
			}
			return add("stranger", job7)
		})
		if !errors.Is(err, errOther) {
			t.Errorf("the stale one: %v", err)
		}
		if got := find(t, other, job7); !slices.Equal(got, []string{"wang", "li"}) {
			t.Errorf("the index has %v", got)
		}
	})
}

func TestWhoIsErasedIsInNoIndexNotInTheOneThatIsBeingBuiltEither(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		x := of(t, rdb, "secret")
		if err := x.Renew(t.Context(), time.Now(), company(nil)); err != nil {
			t.Fatal(err)
		}
		if n, err := Erase(t.Context(), rdb, []string{"wang"}, true); n != 2 || err != nil || len(find(t, x, job7)) != 2 {
			t.Errorf("dry: %d, %v", n, err)
		}
		if n, err := Erase(t.Context(), rdb, []string{"wang"}, false); n != 2 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if job, mail := find(t, x, job7), find(t, x, email); !slices.Equal(job, []string{"li"}) || len(mail) != 0 {
			t.Errorf("left: %v, %v", job, mail)
		}
		reads := 0
		err := x.Renew(t.Context(), time.Now(), func(ctx context.Context, add func(string, ...Sign) error) error {
			if reads++; reads > 1 { // by then wang has left the directory
				return add("li", job7)
			}
			if err := company(nil)(ctx, add); err != nil {
				return err
			}
			_, err := Erase(ctx, rdb, []string{"wang"}, false)
			return err
		})
		if got := find(t, x, job7); err != nil || reads != 2 || !slices.Equal(got, []string{"li"}) {
			t.Errorf("after %d readings: %v, %v", reads, got, err)
		}
	})
}
