// Package lease agrees in the fleet on the one process that does what one has to do.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Lease is one process's side of an agreement. It is no lock: a process that stood still may believe for a moment that
// it holds a lease that has passed on. What must not happen twice checks the holder, or the number of its term, in the
// script that does it.
type Lease struct {
	rdb  redis.UniversalClient
	keys []string // who holds it just now, and the last term
	me   string
	ttl  time.Duration
}

// New is the lease that lies under key, which has a hash tag: its number lies in the same slot of a Cluster. A holder that vanished keeps the others waiting for ttl.
func New(rdb redis.UniversalClient, key string, ttl time.Duration) *Lease {
	host, _ := os.Hostname() // the rest of the name is enough to tell holders apart
	return &Lease{rdb: rdb, keys: []string{key, key + ":term"}, me: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()), ttl: ttl}
}

// Machine is where the process runs that holds the lease under key, by host and process id; the empty host is nobody.
func Machine(ctx context.Context, rdb redis.UniversalClient, key string) (host string, pid int, err error) {
	holder, err := rdb.Get(ctx, key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", 0, err
	}
	if parts := strings.Split(holder, "/"); len(parts) == 3 {
		host = parts[0]
		pid, _ = strconv.Atoi(parts[1])
	}
	return host, pid, nil
}

// Holder is what lies under the key while this process holds the lease.
func (l *Lease) Holder() string { return l.me }

// Term is what an attempt to take a lease came to.
type Term struct {
	Mine bool
	// Number is that of the term, if it is Mine. It grows from holder to holder, also where Redis has lost what it knew,
	// and stays while the holder does: a lease that lapsed and was nobody else's meanwhile goes on.
	Number int64
	// Left is how long it lasts unless its holder keeps it.
	Left time.Duration
}

// A term begins at Redis's clock in milliseconds, or one above the last if that is ahead.
var takeScript = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return {0, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local last = redis.call('HMGET', KEYS[2], 'holder', 'number')
if last[1] == ARGV[1] then return {tonumber(last[2]), tonumber(ARGV[2])} end
local now = redis.call('TIME')
local number = math.max(now[1] * 1000 + math.floor(now[2] / 1000), (tonumber(last[2]) or 0) + 1)
redis.call('HSET', KEYS[2], 'holder', ARGV[1], 'number', string.format('%.0f', number))
return {number, tonumber(ARGV[2])}
`)

// Take takes the lease, or keeps it for another ttl, unless somebody else holds it.
func (l *Lease) Take(ctx context.Context) (Term, error) {
	reply, err := takeScript.Run(ctx, l.rdb, l.keys, l.me, l.ttl.Milliseconds()).Int64Slice()
	if err != nil {
		return Term{}, err
	}
	if len(reply) != 2 {
		return Term{}, fmt.Errorf("lease: a reply of %d numbers", len(reply))
	}
	return Term{Mine: reply[0] > 0, Number: reply[0], Left: time.Duration(reply[1]) * time.Millisecond}, nil
}

var endScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], 'holder')
return redis.call('DEL', KEYS[1])
`)

// End gives the lease back, so that another process can take it at once. It does nothing if somebody else holds it.
func (l *Lease) End(ctx context.Context) error {
	return endScript.Run(ctx, l.rdb, l.keys, l.me).Err()
}
