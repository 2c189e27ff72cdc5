package pace

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/unrole/unrole/internal/test/redistest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet returns n pacers of one app that run until the test ends, each subscribed.
func fleet(t *testing.T, rdb *redis.Client, n int, cfg Config) []*Pacer {
	t.Helper()
	cfg.App = "app"
	var all []*Pacer
	for range n {
		p, err := New(rdb, cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); p.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		for !p.subscribed.Load() {
			_, changed := p.news.heard()
			if p.subscribed.Load() {
				break
			}
			<-changed
		}
		all = append(all, p)
	}
	return all
}

func reserve(t *testing.T, p *Pacer) Grant {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g, err := p.Reserve(ctx)
	if err != nil {
		t.Fatalf("reserve: %v", err)
	}
	return g
}

// blocked asserts that a Reserve has not returned by d, and returns what it gives later.
func blocked(t *testing.T, p *Pacer, d time.Duration) <-chan Grant {
	t.Helper()
	got := make(chan Grant, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		if g, err := p.Reserve(ctx); err == nil {
			got <- g
		}
	}()
	select {
	case g := <-got:
		t.Fatalf("granted at %v, want to be blocked", g.At)
	case <-time.After(d):
	}
	return got
}

func within(t *testing.T, got <-chan Grant, d time.Duration) Grant {
	t.Helper()
	select {
	case g := <-got:
		return g
	case <-time.After(d):
		t.Fatalf("no grant within %v", d)
		return Grant{}
	}
}

func status(t *testing.T, p *Pacer) Status {
	t.Helper()
	s, err := p.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []Config{{}, {App: "a"}, {App: "a", QPS: -1}, {App: "a", QPS: 2e6}, {App: "a", QPS: 1, HoldProbe: -1}} {
		if _, err := New(nil, cfg); err == nil {
			t.Errorf("New accepted %+v", cfg)
		}
	}
}

func TestGrantsAreSpacedAcrossProcesses(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ps := fleet(t, rdb, 2, Config{QPS: 50})
		first := reserve(t, ps[0])
		var last Grant
		for i := range 20 {
			last = reserve(t, ps[i%2])
		}
		if took, want := last.At.Sub(first.At), 20*ps[0].cfg.spacing(); took < want-5*time.Millisecond {
			t.Errorf("20 grants took %v, want at least %v", took, want)
		}
	})
}

func TestPauseReachesTheWholeFleet(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ps := fleet(t, rdb, 2, Config{QPS: 2})
		ctx := context.Background()
		g := reserve(t, ps[0])
		// The other one holds a reservation half a second ahead when the pause is announced.
		waiting := blocked(t, ps[1], 50*time.Millisecond)
		reported := time.Now()
		ps[0].Report(ctx, g, Answer{Kind: Throttled, Limit: LimitGlobal, Pause: 700 * time.Millisecond, Why: "90002"})
		got := within(t, waiting, 5*time.Second)
		if after := got.At.Sub(reported); after < 690*time.Millisecond {
			t.Errorf("granted %v after a pause of 0.7 s was reported", after)
		}
		if s := status(t, ps[0]); s.Rate >= 2/1.025 {
			t.Errorf("rate %v after throttling, want below what was refused", s.Rate)
		}
	})
}

// Where slots follow each other within a moment, several are given at once: none of these is used once a pause is known.
func TestSlotsThatWereGivenAheadKeepThePaceAndEndWithAPause(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ps := fleet(t, rdb, 1, Config{QPS: 5000})
		var grants []Grant
		for range 100 {
			grants = append(grants, reserve(t, ps[0]))
		}
		for i, g := range grants[1:] {
			if g.seq <= grants[i].seq {
				t.Fatalf("grant %d after %d", g.seq, grants[i].seq)
			}
		}
		if took, want := grants[99].At.Sub(grants[0].At), 99*ps[0].cfg.spacing(); took < want-lateAfter {
			t.Errorf("100 grants took %v, want at least %v", took, want)
		}
		for tries := 0; ps[0].ahead.slots < 2; tries++ {
			if reserve(t, ps[0]); tries == 1000 {
				t.Fatal("no slot was ever given ahead")
			}
		}
		ps[0].Report(t.Context(), grants[99], Answer{Kind: Throttled, Limit: LimitGlobal, Pause: 300 * time.Millisecond, Why: "90002"})
		reported := time.Now()
		if g := reserve(t, ps[0]); g.At.Sub(reported) < 290*time.Millisecond {
			t.Errorf("granted %v after a pause of 0.3 s was reported", g.At.Sub(reported))
		}
	})
}

func TestPauseGrowsByRepeatsAndEndsGrowingByAnAnswer(t *testing.T) {
	f, rdb := newFastRedis(t)
	f.now = time.Unix(1_800_000_000, 0)
	p, err := New(rdb, Config{App: "a", QPS: 20, MaxPause: 8 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	throttle := Answer{Kind: Throttled, Limit: LimitGlobal, Pause: time.Second, Grow: true}
	for seq, want := range []time.Duration{1, 2, 4, 8, 8} {
		g := grantNow(t, p, f)
		p.Report(ctx, g, throttle)
		p.Report(ctx, Grant{seq: 1}, throttle) // granted before: no repeat
		s := status(t, p)
		if got := s.Pause.Until.Sub(s.Now).Round(time.Millisecond); got != want*time.Second {
			t.Errorf("pause %d is %v, want %v s", seq, got, int(want))
		}
		f.now = s.Pause.Until
	}
	p.Report(ctx, grantNow(t, p, f), Answer{Kind: Accepted})
	p.Report(ctx, grantNow(t, p, f), throttle)
	if s := status(t, p); s.Pause.Until.Sub(s.Now).Round(time.Millisecond) != time.Second {
		t.Errorf("pause is %v after an accepted call, want 1 s again", s.Pause.Until.Sub(s.Now))
	}
}

// grantNow takes the next slot and moves the clock there.
func grantNow(t *testing.T, p *Pacer, f *fastRedis) Grant {
	t.Helper()
	r, err := p.send(context.Background(), "reserve")
	if err != nil || r.word != "granted" && r.word != "probe" {
		t.Fatalf("reserve: %+v, %v", r, err)
	}
	f.now = f.now.Add(r.wait)
	return Grant{seq: r.seq, Probe: r.word == "probe"}
}

func TestHoldProbesAndEndsByItself(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ps := fleet(t, rdb, 2, Config{QPS: 100, HoldProbe: 300 * time.Millisecond})
		ctx := context.Background()
		early, g := reserve(t, ps[1]), reserve(t, ps[0])
		ps[0].Report(ctx, g, Answer{Kind: Held, Hold: &HoldReason{Kind: HoldPermission, Message: "no", Named: "qyapi_x"}})
		if h := status(t, ps[1]).Hold; h == nil || h.Kind != HoldPermission || h.Named != "qyapi_x" {
			t.Fatalf("hold is %+v", h)
		}
		// A call from before the hold that comes back fine proves nothing.
		ps[1].Report(ctx, early, Answer{Kind: Accepted})
		ps[1].flush(ctx)
		if status(t, ps[0]).Hold == nil {
			t.Fatal("a call granted before the hold ended it")
		}
		probe := within(t, blocked(t, ps[0], 100*time.Millisecond), 2*time.Second)
		if !probe.Probe {
			t.Error("the grant within a hold is not marked as a probe")
		}
		other := blocked(t, ps[1], 100*time.Millisecond)
		ps[0].Report(ctx, probe, Answer{Kind: Busy})
		if status(t, ps[0]).Hold == nil {
			t.Error("a busy probe ended the hold")
		}
		again := within(t, other, 2*time.Second)
		ps[1].Report(ctx, again, Answer{Kind: Refused})
		if status(t, ps[0]).Hold != nil {
			t.Error("a probe that got as far as the ids did not end the hold")
		}
		reserve(t, ps[0])
	})
}

func TestStickyHoldWaitsForTheOperator(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		ps := fleet(t, rdb, 2, Config{QPS: 100, HoldProbe: 20 * time.Millisecond, RefusedLimit: 10})
		ctx := context.Background()
		for range 2 {
			ps[0].Report(ctx, reserve(t, ps[0]), Answer{Kind: Refused, RefusedIDs: 5})
		}
		ps[0].flush(ctx)
		if h := status(t, ps[1]).Hold; h == nil || h.Kind != HoldEverythingRefused || !h.NextProbe.IsZero() {
			t.Fatalf("hold is %+v", h)
		}
		waiting := blocked(t, ps[1], 150*time.Millisecond)
		if k, err := ps[0].ClearHold(ctx, HoldAudit); k != "" || err != nil {
			t.Errorf("clearing another kind gave %q, %v", k, err)
		}
		if k, err := ps[0].ClearHold(ctx); k != HoldEverythingRefused || err != nil {
			t.Errorf("clear gave %q, %v", k, err)
		}
		ps[1].Report(ctx, within(t, waiting, 2*time.Second), Answer{Kind: Refused, RefusedIDs: 50})
		ps[1].flush(ctx)
		if h := status(t, ps[0]).Hold; h != nil {
			t.Errorf("confirmed refusals hold again: %+v", h)
		}
	})
}

func TestShutdownEndsAnyWaitAtOnce(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		p := fleet(t, rdb, 1, Config{QPS: 1})[0]
		if err := p.SetHold(context.Background(), HoldReason{Kind: HoldQuota}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		stop := time.AfterFunc(50*time.Millisecond, cancel)
		defer stop.Stop()
		began := time.Now()
		if _, err := p.Reserve(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("reserve gave %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("reserve returned %v after the start, the stop came at 50 ms", took)
		}
	})
}

func TestRedisAwayGrantsNothingAndRecovers(t *testing.T) {
	server := redistest.Start(t)
	p := fleet(t, server.Client(), 1, Config{QPS: 50})[0]
	g := reserve(t, p)
	server.Kill()
	p.Report(context.Background(), g, Answer{Kind: Accepted})
	waiting := blocked(t, p, 300*time.Millisecond)
	server.Resume()
	within(t, waiting, 10*time.Second)
	p.flush(context.Background())
	if s := status(t, p); s.Accepted != 1 {
		t.Errorf("accepted is %d, want the answer that was reported while Redis was away", s.Accepted)
	}
}

func TestClockSetBackIsNoLongWait(t *testing.T) {
	f, rdb := newFastRedis(t)
	f.now = time.Unix(1_800_000_000, 0)
	p, err := New(rdb, Config{App: "a", QPS: 20})
	if err != nil {
		t.Fatal(err)
	}
	grantNow(t, p, f)
	f.now = f.now.Add(-time.Hour)
	if r, err := p.send(context.Background(), "reserve"); err != nil || r.word != "granted" || r.wait > time.Second {
		t.Errorf("after the clock went back: %+v, %v", r, err)
	}
}

func BenchmarkReserveUncontended(b *testing.B) {
	rdb := redistest.Start(b).Client()
	p, err := New(rdb, Config{App: "a", QPS: MaxQPS})
	if err != nil {
		b.Fatal(err)
	}
	p.subscribed.Store(true)
	for b.Loop() {
		g, err := p.Reserve(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		p.Report(context.Background(), g, Answer{Kind: Accepted})
	}
}

// Who only looks may have another ceiling in its environment: what is shown is that of those who call.
func TestTheCeilingIsThatOfWhoCalls(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		look, err := New(rdb, Config{App: "app", QPS: 50})
		if err != nil {
			t.Fatal(err)
		}
		if s := status(t, look); s.Ceiling != 50 {
			t.Errorf("nobody ever called: %v", s.Ceiling)
		}
		worker := fleet(t, rdb, 1, Config{QPS: 7})[0]
		worker.Report(t.Context(), reserve(t, worker), Answer{Kind: Accepted})
		worker.Report(t.Context(), reserve(t, worker), Answer{Kind: Accepted})
		if err := worker.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		look.Report(t.Context(), reserve(t, look), Answer{Kind: Unused}) // as a question does
		if err := look.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := status(t, look); s.Ceiling != 7 || s.Why != AtCeiling || s.Rate > 7 || s.Rate < 6.8 {
			t.Errorf("%v calls a second of %v, %s", s.Rate, s.Ceiling, s.Why)
		}
	})
}

func TestOnlyAStateThatIsToBeForgottenHasAnEnd(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	for _, forget := range []time.Duration{0, time.Hour} {
		p, err := New(rdb, Config{App: forget.String(), QPS: 100, Forget: forget})
		if err != nil {
			t.Fatal(err)
		}
		life := func() (lives [2]time.Duration) {
			for i, key := range p.keys {
				lives[i] = rdb.TTL(t.Context(), key).Val()
			}
			return lives
		}
		between := func(least time.Duration) {
			t.Helper()
			for i, life := range life() {
				switch {
				case forget == 0 && life != -1:
					t.Errorf("%s of what is kept for good ends in %v", p.keys[i], life)
				case forget > 0 && (life < least || life > least+time.Minute):
					t.Errorf("%s ends in %v, want some %v", p.keys[i], life, least)
				}
			}
		}
		g := reserve(t, p)
		p.Report(t.Context(), g, Answer{Kind: Busy}) // at once in Redis
		between(forget - 30*time.Second)
		p.Report(t.Context(), g, Answer{Kind: Throttled, Limit: LimitAPI, Pause: 2 * time.Hour})
		between(forget + 2*time.Hour - 30*time.Second)
	}
}
