package pace

import (
	"context"
	"errors"
	"math"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/wait"
)

// news is the latest generation of the fleet's state that this process heard of, and wakes who waits for a newer one.
type news struct {
	mu      sync.Mutex
	gen     int64
	changed chan struct{}
}

// forget drops what was heard: the reply to a question asked from now on is newer. (After a failover to a replica that
// lagged behind, generations start lower again.)
func (n *news) forget() {
	n.mu.Lock()
	n.gen = 0
	n.mu.Unlock()
}

func (n *news) announce(gen int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if gen <= n.gen {
		return
	}
	n.gen = gen
	close(n.changed)
	n.changed = make(chan struct{})
}

// heard returns the newest generation and a channel that is closed when there is a newer one.
func (n *news) heard() (int64, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gen, n.changed
}

// await waits until d has passed (true), or the state is newer than gen or ctx ended (false).
func (n *news) await(ctx context.Context, d time.Duration, gen int64) bool {
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	for {
		newest, changed := n.heard()
		if newest > gen || ctx.Err() != nil {
			return false
		}
		if over == nil {
			return true
		}
		select {
		case <-over:
			over = nil
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// A subscription that was silent for pingEvery is asked for a sign of life; without one for as long again it is given up.
const pingEvery = 2 * time.Second

// listen keeps a subscription to the fleet's announcements until ctx ends.
func (p *Pacer) listen(ctx context.Context) {
	defer p.subscribed.Store(false)
	again := wait.Backoff{First: 100 * time.Millisecond, Most: 2 * time.Second}
	for failed := 1; ctx.Err() == nil; failed++ {
		if p.subscribe(ctx) {
			failed = 1
		}
		p.subscribed.Store(false)
		wait.For(ctx, again.After(failed))
	}
}

// subscribe listens on one connection until it fails, and reports whether it ever worked.
func (p *Pacer) subscribe(ctx context.Context) (worked bool) {
	sub := p.rdb.Subscribe(ctx, p.channel)
	stop := context.AfterFunc(ctx, func() { sub.Close() })
	defer func() {
		if stop() {
			sub.Close()
		}
	}()
	asked := false
	for {
		msg, err := sub.ReceiveTimeout(ctx, pingEvery)
		if err != nil {
			var slow net.Error
			if asked || !worked || !errors.As(err, &slow) || !slow.Timeout() || sub.Ping(ctx) != nil {
				return worked
			}
			asked = true
			continue
		}
		asked = false
		switch m := msg.(type) {
		case *redis.Subscription:
			// What was announced before is lost: whoever waits has to ask again.
			worked = true
			p.subscribed.Store(true)
			p.news.announce(math.MaxInt64)
		case *redis.Message:
			if gen, err := strconv.ParseInt(m.Payload, 10, 64); err == nil {
				p.news.announce(gen)
			}
		}
	}
}
