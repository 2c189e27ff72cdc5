package dingtalk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// inBubble runs a claim about time against a simulator, on a clock that jumps.
func inBubble(t *testing.T, opt simulator.Options, claim func(*testing.T, *simulator.Simulator, *dingtalk.Client), change ...func(*dingtalk.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		opt.Open = true
		sim := simulator.New(opt)
		claim(t, sim, connect(t, sim, change...))
	})
}

func remove(ctx context.Context, c *dingtalk.Client) error {
	_, err := c.RemoveRoles(ctx, []int64{1}, []string{"u"})
	return err
}

// atOnce makes n calls at the same time and returns their errors.
func atOnce(ctx context.Context, c *dingtalk.Client, n int) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = remove(ctx, c) })
	}
	all.Wait()
	return errs
}

func allPassed(t *testing.T, errs []error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func wantTokens(t *testing.T, sim *simulator.Simulator, want int) {
	t.Helper()
	if have := sim.Stats().Tokens; have != want {
		t.Errorf("%d tokens were fetched, want %d", have, want)
	}
}

func TestATokenIsFetchedOnceForAllCalls(t *testing.T) {
	inBubble(t, simulator.Options{Latency: 50 * time.Millisecond}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		allPassed(t, atOnce(t.Context(), c, 64))
		time.Sleep(time.Hour)
		allPassed(t, atOnce(t.Context(), c, 64))
		wantTokens(t, sim, 1)
	})
}

func TestATokenIsRenewedEarlyWithoutDelayingACall(t *testing.T) {
	for _, tc := range []struct{ ttl, renewed time.Duration }{
		{2 * time.Hour, 110 * time.Minute},
		{20 * time.Minute, 10 * time.Minute},
		{time.Minute, 30 * time.Second},
		{2 * time.Second, time.Second},
	} {
		t.Run(tc.ttl.String(), func(t *testing.T) {
			const latency = 100 * time.Millisecond
			inBubble(t, simulator.Options{TokenTTL: tc.ttl, Latency: latency}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
				allPassed(t, atOnce(t.Context(), c, 1)) // the token came after one latency, this call after two
				time.Sleep(tc.renewed - latency - time.Millisecond)
				allPassed(t, atOnce(t.Context(), c, 1))
				wantTokens(t, sim, 1)
				began := time.Now()
				allPassed(t, atOnce(t.Context(), c, 8))
				if took := time.Since(began); took != latency {
					t.Errorf("the call that renewed the token took %v", took)
				}
				synctest.Wait()
				wantTokens(t, sim, 2)
			})
		})
	}
}

func TestARefusedTokenIsReplacedOnceForAllCalls(t *testing.T) {
	inBubble(t, simulator.Options{Latency: 10 * time.Millisecond, Jitter: time.Second}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		allPassed(t, atOnce(t.Context(), c, 64))
		sim.RevokeToken()
		allPassed(t, atOnce(t.Context(), c, 64))
		wantTokens(t, sim, 2)
		if n := sim.Stats().ByCode["40014"]; n != 64 {
			t.Errorf("%d calls met the revoked token, want 64", n)
		}
	})
}

func TestASecondRefusalOfTheTokenEndsTheCall(t *testing.T) {
	inBubble(t, simulator.Options{Faults: []simulator.Fault{{Kind: simulator.FaultToken}}}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		e := refusal(t, remove(t.Context(), c), sim.Token())
		if st := sim.Stats(); e.Class != dingtalk.ClassToken || st.Removals != 2 || st.Tokens != 2 {
			t.Errorf("%v after %d calls and %d tokens, want token after 2 and 2", e, st.Removals, st.Tokens)
		}
	})
}

func TestAGivenTokenIsNotRenewed(t *testing.T) {
	const given = "given-token"
	inBubble(t, simulator.Options{}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		e := refusal(t, remove(t.Context(), c), given)
		if st := sim.Stats(); e.Class != dingtalk.ClassToken || st.Calls != 1 {
			t.Errorf("%v after %d calls, want token after 1", e, st.Calls)
		}
	}, func(cfg *dingtalk.Config) { cfg.AppKey, cfg.AppSecret, cfg.AccessToken = "", "", given })
}

func TestAWrongSecretDoesNotHammerGettoken(t *testing.T) {
	faults := []simulator.Fault{{Kind: simulator.FaultCredentials, For: 10 * time.Minute}}
	inBubble(t, simulator.Options{Faults: faults, Latency: 10 * time.Millisecond}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(200 * time.Millisecond) {
			err := remove(t.Context(), c)
			if e := refusal(t, err); e.Class != dingtalk.ClassCredentials {
				t.Fatal(e)
			}
		}
		if n := sim.Stats().Calls; n > 27 { // at 0, 5, 15 and 35 s, and then every 25 s
			t.Errorf("gettoken was asked %d times in 10 minutes", n)
		}
		time.Sleep(25 * time.Second)
		allPassed(t, atOnce(t.Context(), c, 8))
		wantTokens(t, sim, 1)
	})
}

func TestAThrottledGettokenIsLeftAloneUntilItsPauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := connect(t, nil, func(cfg *dingtalk.Config) {
			cfg.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				asked++
				return answering(200, `{"wait":5,"punish":"deny"}`), nil
			})}
		})
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			e := refusal(t, remove(t.Context(), c))
			if left := 5*time.Minute - time.Since(began); e.Limit != dingtalk.LimitIPBan || e.Wait != left {
				t.Fatalf("after %v: %v, want what is left of the ban, %v", time.Since(began), e, left)
			}
			time.Sleep(time.Second)
		}
		if asked != 1 {
			t.Errorf("gettoken was asked %d times", asked)
		}
	})
}

func TestABusyGettokenIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{`{"errcode":-1}`, `<bad>`, `{"errcode":0,"access_token":"t","expires_in":7200}`, `{"errcode":0}`}
		c := connect(t, nil, func(cfg *dingtalk.Config) {
			cfg.HTTP = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				answer := answers[0]
				answers = answers[1:]
				return answering(200, answer), nil
			})}
		})
		if err := remove(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAWaiterMayLeaveAndTheTokenStillComes(t *testing.T) {
	inBubble(t, simulator.Options{Latency: time.Second}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := remove(ctx, c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("have %v", err)
		}
		allPassed(t, atOnce(t.Context(), c, 4))
		wantTokens(t, sim, 1)
	})
}

// A call that waits for its slot before the repeat may find that the new token, too, has run out meanwhile.
func TestATokenThatKeepsExpiringIsNoFaultOfTheCredentials(t *testing.T) {
	opt := simulator.Options{TokenTTL: 2 * time.Second, TokenAnnounced: 2 * time.Hour, Latency: 30 * time.Millisecond, Jitter: 50 * time.Millisecond}
	inBubble(t, opt, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		passed := 0
		for range 300 {
			for _, err := range atOnce(t.Context(), c, 5) {
				if err == nil {
					passed++
				} else if e := refusal(t, err, sim.Token()); e.Class != dingtalk.ClassBusy {
					t.Fatal(e)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if passed < 1400 {
			t.Errorf("%d of 1500 calls passed", passed)
		}
	}, func(cfg *dingtalk.Config) {
		var turn atomic.Int64
		cfg.BeforeRepeat = func(context.Context, tasks.Action) error {
			time.Sleep(time.Duration(turn.Add(1)%7) * 700 * time.Millisecond)
			return nil
		}
	})
}

// The repeat is a call of its own to DingTalk, so a removal's takes a slot of the removals' pace, and of no other's.
func TestTheRepeatIsAskedForFirst(t *testing.T) {
	stop := errors.New("no slot")
	faults := []simulator.Fault{{Kind: simulator.FaultToken}}
	var asked []tasks.Action
	inBubble(t, simulator.Options{Faults: faults}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		if err := remove(t.Context(), c); !errors.Is(err, stop) {
			t.Errorf("have %v", err)
		}
		if n := sim.Stats().Removals; n != 1 {
			t.Errorf("%d calls were sent", n)
		}
		if _, err := c.AddRoles(t.Context(), []int64{1}, []string{"u"}); !errors.Is(err, stop) {
			t.Errorf("have %v", err)
		}
		if _, err := c.SetScope(t.Context(), 1, "u", []int64{1}); !errors.Is(err, stop) {
			t.Errorf("have %v", err)
		}
		if _, err := c.ListRoles(t.Context(), 0, 20); errors.Is(err, stop) {
			t.Errorf("a call that reads has waited")
		}
		if want := []tasks.Action{tasks.Remove, tasks.Add, tasks.Add}; !slices.Equal(asked, want) {
			t.Errorf("asked for %q, want %q", asked, want)
		}
	}, func(cfg *dingtalk.Config) {
		cfg.BeforeRepeat = func(_ context.Context, action tasks.Action) error {
			asked = append(asked, action)
			return stop
		}
	})
}

// Who waits for long has to look again whether the call still stands, and gets it back for that.
func TestARepeatThatGetsNoSlotSoonIsTriedLater(t *testing.T) {
	faults := []simulator.Fault{{Kind: simulator.FaultToken}}
	inBubble(t, simulator.Options{Faults: faults}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		if e := refusal(t, remove(t.Context(), c)); e.Class != dingtalk.ClassBusy {
			t.Errorf("have %v", e)
		}
		if n := sim.Stats().Removals; n != 1 {
			t.Errorf("%d calls were sent", n)
		}
	}, func(cfg *dingtalk.Config) {
		cfg.BeforeRepeat = func(ctx context.Context, _ tasks.Action) error {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		}
	})
}

func TestCloseEndsATokenRequestUnderWay(t *testing.T) {
	inBubble(t, simulator.Options{Latency: 9 * time.Second}, func(t *testing.T, _ *simulator.Simulator, c *dingtalk.Client) {
		var all sync.WaitGroup
		all.Go(func() {
			if e := refusal(t, remove(t.Context(), c)); e.Class != dingtalk.ClassBusy {
				t.Error(e)
			}
		})
		synctest.Wait()
		began := time.Now()
		c.Close()
		all.Wait()
		if took := time.Since(began); took > time.Second {
			t.Errorf("closing took %v", took)
		}
		if err := remove(t.Context(), c); err == nil {
			t.Error("a closed client fetched a token")
		}
	})
}

func TestEachExchangeIsObserved(t *testing.T) {
	var seen []string
	inBubble(t, simulator.Options{Latency: 20 * time.Millisecond, BadUsers: []string{"u"}}, func(t *testing.T, sim *simulator.Simulator, c *dingtalk.Client) {
		_ = remove(t.Context(), c)
		sim.RevokeToken()
		_ = remove(t.Context(), c)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = remove(ctx, c)
	}, func(cfg *dingtalk.Config) {
		cfg.Observe = func(call dingtalk.Call) {
			seen = append(seen, fmt.Sprintf("%s %v %s %v %v", call.Op, call.Class, call.Code, call.Cancelled, call.Duration))
		}
	})
	want := []string{
		"gettoken ok 0 false 20ms",
		"topapi/role/removerolesforemps invalid_user 33012 false 20ms",
		"topapi/role/removerolesforemps token 40014 false 20ms",
		"gettoken ok 0 false 20ms",
		"topapi/role/removerolesforemps invalid_user 33012 false 20ms",
		"topapi/role/removerolesforemps unknown  true 1ms",
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("have %q, want %q", seen, want)
	}
}
