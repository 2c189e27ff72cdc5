package redisconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/test/redistest"
)

// writes counts what a client writes.
type writes struct{ n *atomic.Int64 }

func (w writes) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	return counted{c, w.n}, err
}

type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Conn.Write(b)
}

// Whoever sends many commands at once gets the reply of each, none too, in far fewer round trips.
func TestCommandsThatMeetShareRoundTrips(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		var n atomic.Int64
		own := *rdb.Options()
		own.Dialer = writes{&n}.dial
		counting := redis.NewClient(&own)
		defer counting.Close()
		client, done := Steady(t.Context(), counting, NewGate(zerolog.Nop()))
		defer done()
		echo := redis.NewScript(`if ARGV[1] == 'none' then return false end return ARGV[1]`)
		const all = 2000
		var under sync.WaitGroup
		for i := range all {
			under.Go(func() {
				switch want := fmt.Sprint(i % 100); i % 4 {
				case 0:
					if got, err := echo.Run(t.Context(), client, nil, want).Text(); got != want || err != nil {
						t.Errorf("%q %v, want %q", got, err, want)
					}
				case 1:
					_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
						echo.EvalSha(t.Context(), p, nil, "1")
						echo.EvalSha(t.Context(), p, nil, "none")
						return nil
					})
					if !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
						t.Error("a pipeline with a reply of nothing ends with", err)
					}
				case 2:
					if got, err := client.ZRem(t.Context(), "none", i).Result(); got != 0 || err != nil {
						t.Error("ZREM", got, err)
					}
				case 3:
					if got, err := client.ZRangeWithScores(t.Context(), "none", 0, -1).Result(); len(got) != 0 || err != nil {
						t.Error("ZRANGE", got, err)
					}
				}
			})
		}
		under.Wait()
		if n.Load() > all/2 {
			t.Errorf("%d commands and pipelines took %d writes", all, n.Load())
		}
	})
}

// Who does not wait any more is not waited for, and neither writes into a command that its caller has by then, nor holds others up.
func TestWhoLeavesASharedRoundTripHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		shared := &together{ctx: t.Context(), client: redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, Dialer: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("nobody is there")
		}})}
		defer shared.client.Close()
		ask := shared.ProcessHook(func(context.Context, redis.Cmder) error { <-held; return nil })
		var under sync.WaitGroup
		for range flights {
			under.Go(func() { ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", "x", 0)) })
		}
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		var gone, stays error
		under.Go(func() { gone = ask(ctx, redis.NewCmd(ctx, "evalsha", "x", 0)) })
		under.Go(func() { stays = ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", "x", 0)) })
		synctest.Wait()
		leave()
		synctest.Wait()
		if !errors.Is(gone, context.Canceled) || stays != nil {
			t.Errorf("who left has %v, who waits %v", gone, stays)
		}
		close(held)
		under.Wait()
		if stays == nil || errors.Is(stays, context.Canceled) {
			t.Error("who waited on ended with", stays)
		}
		if len(shared.waiting) != 0 || shared.flying != 0 {
			t.Errorf("%d wait, %d fly", len(shared.waiting), shared.flying)
		}
	})
}

// Where a connection has gone dead its trip takes as long as all its tries. Nobody else waits for that, and who keeps a lease not even
// for a moment.
func TestATripThatIsNotAnsweredHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &together{ctx: t.Context(), client: redistest.Virtual(t)()}
		dead, began := make(chan struct{}), time.Now()
		hangs := shared.ProcessHook(func(context.Context, redis.Cmder) error { <-dead; return nil })
		var under sync.WaitGroup
		for range flights {
			under.Go(func() { hangs(t.Context(), redis.NewCmd(t.Context(), "evalsha", "x", 0)) })
		}
		synctest.Wait()
		soon, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		answered := shared.ProcessHook(func(context.Context, redis.Cmder) error { return nil })
		if err := answered(soon, redis.NewCmd(soon, "evalsha", "x", 0)); err != nil || time.Since(began) > 0 {
			t.Errorf("who has little time waited for %v: %v", time.Since(began), err)
		}
		for range 3 * mostTogether {
			under.Go(func() {
				if err := answered(t.Context(), redis.NewIntCmd(t.Context(), "zrem", "none", "x")); err != nil || time.Since(began) > longestFlight {
					t.Errorf("another trip ended after %v: %v", time.Since(began), err)
				}
			})
		}
		time.Sleep(2 * longestFlight)
		close(dead)
		under.Wait()
		if len(shared.waiting) != 0 || shared.flying != 0 {
			t.Errorf("%d wait, %d fly", len(shared.waiting), shared.flying)
		}
	})
}

// holding holds pipelines until they are let go.
type holding struct{ letGo chan struct{} }

func (h holding) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h holding) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h holding) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		<-h.letGo
		return next(ctx, cmds)
	}
}

// A command that is on its way is done: whoever would be told that it was given up might do something else instead.
func TestWhoIsCancelledOnTheWayIsToldWhatBecameOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := redistest.Virtual(t)()
		client.ZAdd(t.Context(), "some", redis.Z{Member: "x"})
		hold, first := holding{make(chan struct{})}, make(chan struct{})
		client.AddHook(hold)
		shared := &together{ctx: t.Context(), client: client}
		ask := shared.ProcessHook(func(context.Context, redis.Cmder) error { <-first; return nil })
		var under sync.WaitGroup
		for range flights {
			under.Go(func() { ask(t.Context(), redis.NewCmd(t.Context(), "evalsha", "x", 0)) })
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		removed := redis.NewIntCmd(ctx, "zrem", "some", "x")
		var err error
		under.Go(func() { err = ask(ctx, removed) })
		synctest.Wait()
		close(first)
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(hold.letGo)
		under.Wait()
		if removed.Val() != 1 || err != nil {
			t.Errorf("%d were removed: %v", removed.Val(), err)
		}
	})
}
