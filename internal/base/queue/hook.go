package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
)

// Connected tells the lead of the connection that it is a hook of.
func (l *Lead) Connected(conn redis.UniversalClient) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
}

func (l *Lead) connection() redis.UniversalClient {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

func (l *Lead) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *Lead) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook answers asynq's scripts in the name of the lead.
func (l *Lead) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c := parse(cmd)
		reply, generic := cmd.(*redis.Cmd)
		if c.kind == other || l.looks[c.queue] == nil || !generic {
			return next(ctx, cmd)
		}
		value, err := l.answer(ctx, c, func() (any, error) {
			if err := next(ctx, cmd); err != nil {
				return nil, err
			}
			return reply.Val(), nil
		}, next)
		reply.SetVal(value)
		reply.SetErr(err)
		return err
	}
}

// answer is where each kind of script is decided on. plain sends it as it is.
func (l *Lead) answer(ctx context.Context, c command, plain func() (any, error), next redis.ProcessHook) (any, error) {
	switch c.kind {
	case take, finish, retry, put:
		if err := l.wanted(c); err != nil {
			return nil, err
		}
	}
	switch c.kind {
	case take:
		return l.look(ctx, c.queue, func(most int) (msgs []string, err error) {
			several := c
			several.args = append(slices.Clone(c.args), most)
			value, err := l.send(ctx, several, next)
			list, _ := value.([]any)
			for _, one := range list {
				if msg, ok := one.(string); ok {
					msgs = append(msgs, msg)
				}
			}
			if err == nil && len(msgs) == 0 {
				err = redis.Nil
			}
			return msgs, err
		})
	case finish, retry:
		return l.moveOn(ctx, c, next)
	case put:
		if l.Number() == 0 || ctx.Value(unfenced{}) != nil {
			return plain()
		}
		fence := l.Fence()
		value, err := l.send(ctx, c, next)
		if isStale(err) {
			l.answeredStale(fence, err)
		}
		return value, err
	case expired:
		// asynq would try tasks again one by one, spend their retries, and look at clocks of other machines to know which.
		return []any{}, nil
	case forward, tidy:
		if !l.Held() {
			return int64(0), nil // the leader does it
		}
	}
	return plain()
}

// moveOn sends the script that ends a task's stay in our hands, or has the task go back instead.
func (l *Lead) moveOn(ctx context.Context, c command, next redis.ProcessHook) (any, error) {
	t := task{c.queue, c.id()}
	const done = "OK"
	if l.hands.sending(t) != nil && c.kind == retry && c.soon() {
		l.putBack(t)
		l.hands.sent(t, true)
		return done, nil
	}
	fence := l.Fence()
	if c.completed >= 0 {
		c.args = append(slices.Clone(c.args), l.hands.result(t))
	}
	value, err := l.send(ctx, c, next)
	if isStale(err) {
		l.answeredStale(fence, err)
		value, err = done, nil // it is not ours to end; asynq need not try again
	}
	l.hands.sent(t, err == nil || strings.Contains(err.Error(), "NOT FOUND"))
	return value, err
}

// soon reports whether a retry is due at once, which is what a handler asks for that was interrupted. Its own backoffs are
// longer; see retryDelay of the worker.
func (c command) soon() bool {
	if len(c.args) < 3 {
		return false
	}
	at, ok := c.args[2].(int64)
	return ok && at <= time.Now().Add(3*time.Second).Unix()
}

// answeredStale notes what a script with the fence of the lead was refused for.
func (l *Lead) answeredStale(fence lease.Fence, err error) {
	if strings.Contains(err.Error(), replaced) {
		l.Replaced(fence)
	} else {
		l.refused(fence)
	}
}

// refused notes that a script with the fence of the lead was refused because a later one is there. That may be our own: the script
// waited for Redis while the lead was lost and taken again.
func (l *Lead) refused(fence lease.Fence) {
	if fence != l.Fence() {
		return
	}
	l.update(func() { l.kept = time.Time{} })
	select {
	case l.lost <- struct{}{}:
	default:
	}
}
