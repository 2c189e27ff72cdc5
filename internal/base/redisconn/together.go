package redisconn

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// flights is how many such round trips one client has under way at most; what comes meanwhile goes together in the next.
	flights = 4
	// mostTogether is how many commands go in one.
	mostTogether = 64
	// longestFlight is how long one counts: what Redis does not answer keeps nobody else from another connection.
	longestFlight = time.Second
)

// together has the commands that are sent for every task share round trips: alone each costs a connection, a write and a read on both
// sides, which is more than most of them cost themselves. Who sends one while few are under way waits for nobody, and neither does who
// has less time than a connection may take that has gone dead, as one has that keeps a lease. It is the last hook of a client.
type together struct {
	ctx    context.Context // of shared trips, which nobody's own end may end
	client *redis.Client

	mu      sync.Mutex
	flying  int
	waiting []*passenger
}

// passenger is what one caller sends. Its commands are others than the caller's, who may leave before they are back.
type passenger struct {
	cmds []redis.Cmder
	back chan struct{}
}

// inCompany marks a shared trip: what is in it has passed the other hooks.
type inCompany struct{}

func (t *together) DialHook(next redis.DialHook) redis.DialHook { return next }

func (t *together) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return t.send(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (t *together) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if ctx.Value(inCompany{}) != nil {
			return next(ctx, cmds)
		}
		return t.send(ctx, cmds, func() error { return next(ctx, cmds) })
	}
}

// copyOf is the same command once more, nil if it is none of those that go together: scripts that Redis has, and what else is sent for
// every task.
func copyOf(ctx context.Context, cmd redis.Cmder) redis.Cmder {
	switch cmd.(type) {
	case *redis.Cmd:
		if cmd.Name() == "evalsha" {
			return redis.NewCmd(ctx, cmd.Args()...)
		}
	case *redis.IntCmd:
		if cmd.Name() == "zrem" {
			return redis.NewIntCmd(ctx, cmd.Args()...)
		}
	case *redis.ZSliceCmd:
		if cmd.Name() == "zrange" {
			return redis.NewZSliceCmd(ctx, cmd.Args()...)
		}
	}
	return nil
}

// answer gives a command the reply that its copy got.
func answer(cmd, from redis.Cmder) {
	switch c := cmd.(type) {
	case *redis.Cmd:
		c.SetVal(from.(*redis.Cmd).Val())
	case *redis.IntCmd:
		c.SetVal(from.(*redis.IntCmd).Val())
	case *redis.ZSliceCmd:
		c.SetVal(from.(*redis.ZSliceCmd).Val())
	}
	cmd.SetErr(from.Err())
}

// send sends commands together with those of others, or by alone where one of them is none of those that go together. Where ctx is
// cancelled, commands that wait are not sent; those that were sent already have their reply awaited for as long as go-redis does alone:
// they are done all the same.
func (t *together) send(ctx context.Context, cmds []redis.Cmder, alone func() error) error {
	patience := t.client.Options().ReadTimeout
	if end, has := ctx.Deadline(); has && time.Until(end) < patience {
		return alone()
	}
	p := &passenger{back: make(chan struct{})}
	for _, cmd := range cmds {
		same := copyOf(ctx, cmd)
		if same == nil {
			return alone()
		}
		p.cmds = append(p.cmds, same)
	}
	t.mu.Lock()
	if t.flying < flights {
		t.flying++
		t.mu.Unlock()
		defer t.begun()()
		return alone()
	}
	t.waiting = append(t.waiting, p)
	t.mu.Unlock()
	var err error
	select {
	case <-p.back:
	case <-ctx.Done():
		err = ctx.Err()
		if sent := !t.stays(p); sent && !errors.Is(err, context.DeadlineExceeded) {
			select {
			case <-p.back:
				err = nil
			case <-time.After(patience):
			}
		}
	}
	first := err
	for i, cmd := range cmds {
		if err == nil {
			answer(cmd, p.cmds[i])
		} else {
			cmd.SetErr(err)
		}
		if first == nil {
			first = cmd.Err()
		}
	}
	return first
}

// stays takes a passenger out of those that wait; false says that it went already.
func (t *together) stays(p *passenger) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := len(t.waiting)
	t.waiting = slices.DeleteFunc(t.waiting, func(q *passenger) bool { return q == p })
	return len(t.waiting) < before
}

// begun is for a trip that begins and counts already, until end is called, or for longestFlight.
func (t *together) begun() (end func()) {
	landed := sync.OnceFunc(t.landed)
	late := time.AfterFunc(longestFlight, landed)
	return func() {
		late.Stop()
		landed()
	}
}

// landed ends a trip; who waits goes with the next.
func (t *together) landed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.flying--
		return
	}
	n, cmds := 0, 0
	for n < len(t.waiting) && (n == 0 || cmds+len(t.waiting[n].cmds) <= mostTogether) {
		cmds += len(t.waiting[n].cmds)
		n++
	}
	now := slices.Clone(t.waiting[:n])
	t.waiting = slices.Delete(t.waiting, 0, n)
	go t.fly(now)
}

func (t *together) fly(all []*passenger) {
	defer t.begun()()
	var cmds []redis.Cmder
	for _, one := range all {
		cmds = append(cmds, one.cmds...)
	}
	_, err := t.client.Pipelined(context.WithValue(t.ctx, inCompany{}, true), func(p redis.Pipeliner) error {
		for _, cmd := range cmds {
			_ = p.Process(t.ctx, cmd)
		}
		return nil
	})
	// What came of it each command says for itself, but where the trip itself failed: on the way, or before it began, as by a login
	// that is refused. A command without a word of its own may or may not have been done then.
	var reply redis.Error
	said := slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil })
	if err != nil && (!said || !errors.As(err, &reply)) {
		for _, cmd := range cmds {
			if cmd.Err() == nil {
				cmd.SetErr(err)
			}
		}
	}
	for _, one := range all {
		close(one.back)
	}
}
