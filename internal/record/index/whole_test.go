package index

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

// A reading that stands still for so long that what was written of it is gone from Redis is none: nobody may be missing in an index.
func TestAnIndexOfWhichSomethingWasLostIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := of(t, redistest.Virtual(t)(), "secret")
		reads := 0
		err := x.Renew(t.Context(), time.Now(), func(_ context.Context, add func(string, ...Sign) error) error {
			reads++
			for i := range 2 * atOnce {
				if i == atOnce+atOnce/2 && reads == 1 {
					time.Sleep(2 * time.Hour)
				}
				if err := add(fmt.Sprint("user", i), Sign{JobNumber, fmt.Sprint(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || reads != 2 {
			t.Errorf("it was read %d times: %v", reads, err)
		}
		for i := range 2 * atOnce {
			if got := find(t, x, Sign{JobNumber, fmt.Sprint(i)}); len(got) != 1 {
				t.Fatalf("number %d is that of %v", i, got)
			}
		}
	})
}

// twice sends every command twice, as a client does that got no answer to the first.
type twice struct{ redis.Hook }

func (twice) DialHook(next redis.DialHook) redis.DialHook { return next }

func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		_ = next(ctx, cmd)
		return next(ctx, cmd)
	}
}

func TestWhatIsSentTwiceSinceAnAnswerWasLostCountsOnce(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		rdb.AddHook(twice{})
		x := of(t, rdb, "secret")
		if err := x.Renew(t.Context(), time.Now(), company(nil)); err != nil {
			t.Fatal(err)
		}
		if got := find(t, x, job7); !slices.Equal(got, []string{"wang", "li"}) {
			t.Errorf("the number is that of %v", got)
		}
	})
}
