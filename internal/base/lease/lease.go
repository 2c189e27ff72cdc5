// Package lease agrees in the fleet on the one process that does what one has to do.
package lease

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease is one process's side of an agreement. It is no lock: a process that stood still may believe for a moment that
// it holds a lease that has passed on. What must not happen twice checks the holder in the script that does it.
type Lease struct {
	rdb redis.UniversalClient
	key string
	me  string
	ttl time.Duration
}

// New is the lease that lies under key. A holder that vanished keeps the others waiting for ttl.
func New(rdb redis.UniversalClient, key string, ttl time.Duration) *Lease {
	return &Lease{rdb: rdb, key: key, me: rand.Text(), ttl: ttl}
}

// Holder is what lies under the key while this process holds the lease.
func (l *Lease) Holder() string { return l.me }

var takeScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// Take takes the lease, or keeps it for another ttl, unless somebody else holds it.
func (l *Lease) Take(ctx context.Context) (mine bool, err error) {
	return takeScript.Run(ctx, l.rdb, []string{l.key}, l.me, l.ttl.Milliseconds()).Bool()
}

var endScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// End gives the lease back, so that another process can take it at once. It does nothing if somebody else holds it.
func (l *Lease) End(ctx context.Context) error {
	return endScript.Run(ctx, l.rdb, []string{l.key}, l.me).Err()
}
