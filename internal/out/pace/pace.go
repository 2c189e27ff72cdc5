// Package pace keeps all workers of an app, through Redis, at a rate of calls that DingTalk takes: it hands out the
// moments to call, and pauses, slows down or holds the whole fleet when answers say so.
package pace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/wait"
)

// Config says whose pace to keep and how fast it may be. Every process of the fleet should have the same one; where
// they differ, each grant follows the configuration of the process that asks.
type Config struct {
	// App names the DingTalk app whose limit is shared, its app key usually. Only a hash of it gets into Redis.
	App string
	// QPS is the ceiling in calls per second, over 0 and at most MaxQPS.
	QPS float64
	// HoldProbe is how often one process may try a call while the fleet holds. Default 30 s.
	HoldProbe time.Duration
	// ProbeCap is the longest time between two probes of a DingTalk that does not answer. Default 5 min.
	ProbeCap time.Duration
	// MaxPause is how far a pause that is refused again and again may grow. Default 5 min. A pause whose length
	// DingTalk named is not cut.
	MaxPause time.Duration
	// RefusedLimit is how many ids may be refused as invalid, none accepted, before the fleet holds. Default 500,
	// negative for no limit.
	RefusedLimit int
	// BadRequestLimit is how many batches may be refused as bad requests, none accepted, before the fleet holds.
	// Default 20, negative for no limit.
	BadRequestLimit int
	// Forget is how long after its last use the state leaves Redis, in whole seconds; 0, the default, keeps it for good.
	Forget time.Duration
	// Random spreads the tries of a fleet that lost Redis, by a number in [0, 1). Default rand.Float64.
	Random func() float64
	// Log receives changes of state: paused, held, outage, Redis away, and their ends. The zero value is silent.
	Log zerolog.Logger
}

// MaxQPS is the highest ceiling that can be configured.
const MaxQPS = 1e6

// margin is how far calls may drift apart on their way to DingTalk, network and timers together, without QPS+1 of
// them arriving within one second. It costs margin/(1 s + margin) of the pace: 2.4 %.
const margin = 25 * time.Millisecond

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.App == "":
		return c, errors.New("pace: App is required")
	case math.IsNaN(c.QPS) || c.QPS <= 0 || c.QPS > MaxQPS:
		return c, fmt.Errorf("pace: %v calls per second: must be over 0 and at most %.0f", c.QPS, float64(MaxQPS))
	}
	// A negative limit is none.
	c.RefusedLimit = cmp.Or(c.RefusedLimit, 500)
	c.BadRequestLimit = cmp.Or(c.BadRequestLimit, 20)
	if c.Random == nil {
		c.Random = rand.Float64
	}
	d := defaults.Of("pace")
	defaults.Fill(d, "HoldProbe", &c.HoldProbe, 30*time.Second)
	defaults.Fill(d, "ProbeCap", &c.ProbeCap, 5*time.Minute)
	defaults.Fill(d, "MaxPause", &c.MaxPause, 5*time.Minute)
	return c, d.Err()
}

// spacing is the time between two grants at the ceiling.
func (c Config) spacing() time.Duration {
	return time.Duration(float64(time.Second+margin) / c.QPS)
}

// Pacer is one process's end of the fleet's pace. Its methods may be called from several goroutines.
type Pacer struct {
	cfg     Config
	rdb     redis.UniversalClient
	keys    []string // state, tally of calls
	channel string
	settled []any // what every script call has in common

	turn  chan struct{} // holds one token: one Reserve at a time
	ahead answered      // what is left of the last answer, for who has the turn

	sending wait.Lock // one script call with answers at a time, so that no grant overtakes a pause
	mu      sync.Mutex
	todo    []answer      // reported, not yet in Redis
	more    chan struct{} // wakes Run when todo got its first element

	news       news
	subscribed atomic.Bool
	away       atomic.Bool
	mood       mood
}

// New returns a Pacer. It does not talk to Redis yet.
func New(rdb redis.UniversalClient, cfg Config) (*Pacer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte("unrole pace\x00" + cfg.App))
	// One hash tag for everything, so that a Redis Cluster keeps it on one node.
	prefix := "unrole:{pace:" + hex.EncodeToString(sum[:8]) + "}:"
	p := &Pacer{
		cfg:     cfg,
		rdb:     rdb,
		keys:    []string{prefix + "state", prefix + "calls"},
		channel: prefix + "news",
		turn:    make(chan struct{}, 1),
		more:    make(chan struct{}, 1),
		sending: wait.NewLock(),
	}
	p.settled = []any{
		float64(time.Second) / float64(cfg.spacing()), cfg.HoldProbe.Seconds(), cfg.ProbeCap.Seconds(),
		cfg.RefusedLimit, cfg.BadRequestLimit, p.channel, cfg.Forget.Seconds(),
	}
	p.news.changed = make(chan struct{})
	return p, nil
}

// Run listens for what other processes announce and brings answers to Redis that no Reserve took along. It returns
// nil when ctx ends, after a last attempt to deliver answers. Without it everything works too, at the price of a
// second Redis call per grant and of noticing the end of a pause or hold later.
func (p *Pacer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { p.listen(ctx) })
	wg.Go(func() { p.deliver(ctx) })
	wg.Wait()
	return nil
}

// flushEvery bounds how long an answer that changes nothing by itself waits for a Reserve to take it along.
const flushEvery = 200 * time.Millisecond

// redisPatience bounds one attempt to reach Redis apart from the client's own timeouts.
const redisPatience = 3 * time.Second

func (p *Pacer) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			p.flush(last)
			cancel()
			return
		case <-p.more:
		}
		if wait.For(ctx, flushEvery) != nil {
			continue
		}
		again := wait.Backoff{First: flushEvery, Most: 2 * time.Second}
		for failed := 1; p.flush(ctx) != nil && wait.For(ctx, again.After(failed)) == nil; {
			failed++
		}
	}
}
