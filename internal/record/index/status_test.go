package index

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

func TestTheStatusSaysHowOldTheIndexIsAndWhyItIsNotRead(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		x := of(t, rdb, "secret")
		look := func() Status {
			t.Helper()
			s, err := Look(t.Context(), rdb, "app")
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := look(); s != (Status{}) {
			t.Errorf("of what nobody asked for: %+v", s)
		}
		refused := errors.New("no permission")
		if err := x.Renew(t.Context(), time.Now(), func(context.Context, func(string, ...Sign) error) error { return refused }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if s := look(); s.Why != "no permission" || time.Since(s.FailedAt) > time.Minute || !s.ReadAt.IsZero() || s.Reading {
			t.Errorf("of what could not be read: %+v", s)
		}
		if _, _, err := x.Find(t.Context(), job7); err != nil {
			t.Fatal(err)
		}
		if err := x.Renew(t.Context(), time.Now(), func(ctx context.Context, add func(string, ...Sign) error) error {
			if s := look(); !s.Reading || s.Why == "" {
				t.Errorf("while it is read: %+v", s)
			}
			return company(nil)(ctx, add)
		}); err != nil {
			t.Fatal(err)
		}
		if s := look(); s.People != 2 || s.ReadAt.IsZero() || !s.Wanted || s.Reading || !s.FailedAt.IsZero() || s.Why != "" {
			t.Errorf("of what was read: %+v", s)
		}
		if err := x.Renew(t.Context(), time.Now().Add(time.Second), func(context.Context, func(string, ...Sign) error) error { return refused }); err == nil {
			t.Fatal("it was read")
		}
		if s := look(); s.People != 2 || s.ReadAt.IsZero() || s.Why != "no permission" {
			t.Errorf("of what could not be read again: %+v", s)
		}
		if s, err := Look(t.Context(), rdb, "another app"); err != nil || s != (Status{}) {
			t.Errorf("of another app: %+v %v", s, err)
		}
	})
}

// People are counted as long as what was read of them is there, also where a later reading failed.
func TestAFailureTakesNothingFromWhatWasRead(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		const ttl = 3 * failureKept
		x, err := New(Config{Redis: rdb, App: "app", Secret: []byte("secret"), TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Renew(t.Context(), time.Now(), company(nil)); err != nil {
			t.Fatal(err)
		}
		x.noteFailure(t.Context(), errors.New("no permission"))
		if left := rdb.PTTL(t.Context(), keysOf("app")+"about").Val(); left < ttl-time.Minute {
			t.Errorf("how many were read is forgotten after %v, what was read after %v", left, ttl)
		}
	})
}
