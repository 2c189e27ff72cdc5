// Package lease agrees in the fleet on the one process that does what one has to do.
package lease

import (
	"context"
	"crypto/rand"
	_ "embed"
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

var (
	//go:embed lua/take.lua
	takeLua    string
	takeScript = redis.NewScript(takeLua)
	//go:embed lua/end.lua
	endLua    string
	endScript = redis.NewScript(endLua)
)

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

// During takes the lease and does something for as long as this process holds it: the context of do ends once somebody else has it,
// or when it could not be kept for ttl. mine is whether do was called.
func (l *Lease) During(ctx context.Context, do func(ctx context.Context)) (mine bool, err error) {
	until := time.Now().Add(l.ttl)
	term, err := l.Take(ctx)
	if err != nil || !term.Mine {
		return false, err
	}
	holding, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer end()
		for {
			select {
			case <-holding.Done():
				return
			case <-time.After(min(l.ttl/3, time.Until(until))):
			}
			asked := time.Now()
			bounded, cancel := context.WithDeadline(holding, until)
			term, err := l.Take(bounded)
			cancel()
			if err == nil {
				if !term.Mine {
					return
				}
				until = asked.Add(l.ttl)
			} else if !asked.Before(until) {
				return
			}
		}
	}()
	do(holding)
	end()
	<-ended
	return true, nil
}

// End gives the lease back, so that another process can take it at once. It does nothing if somebody else holds it.
func (l *Lease) End(ctx context.Context) error {
	return endScript.Run(ctx, l.rdb, l.keys, l.me).Err()
}
