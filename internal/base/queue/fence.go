package queue

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
)

// stale begins the reply of a script whose lead has passed on, replaced the one of a script that reached another server of Redis.
const (
	stale    = "STALELEAD"
	replaced = stale + " Redis is another server"
)

// fencePrelude goes before a script of asynq, whose last argument is the fence of the lead: it does nothing any more once a later lead
// has taken the queue over.
var fencePrelude = lease.FenceLua + `
local fence = redis.call('GET', KEYS[#KEYS])
if fence and tonumber(fence) > (tonumber(number_of(ARGV[#ARGV])) or 0) then return redis.error_reply('` + stale + ` another worker takes the tasks by now') end
`

// serverPrelude goes before a script that ends a task, or creates one for what a record has by now: a server that was started again, or
// took the other's place, may have lost what the task came to, or the record's word.
const serverPrelude = `
if other_server(ARGV[#ARGV]) then return redis.error_reply('` + replaced + ` than when the lead was taken') end
`

// leasePrelude gives a task in hands its lease back where Redis has lost it: asynq's scripts would take the task from the
// active list and then stop half done.
const leasePrelude = `
if not redis.call('ZSCORE', KEYS[%[1]d], ARGV[1]) and redis.call('LPOS', KEYS[%[2]d], ARGV[1]) then
  redis.call('ZADD', KEYS[%[1]d], 0, ARGV[1])
end
`

// resultPrelude leaves with a task that is completed what the web UI shows as its result. asynq's own way to do so is a round trip more,
// and does so also with a task that is not there any more, since somebody deleted it or Redis has lost it: a result alone would be a
// task without a message, whose id is taken for good.
const resultPrelude = `
if ARGV[#ARGV - 1] ~= '' and redis.call('HEXISTS', KEYS[%d], 'msg') == 1 then redis.call('HSET', KEYS[%[1]d], 'result', ARGV[#ARGV - 1]) end
`

// takeSeveral ends a script that takes a task, which is a function by now: it is run so often until there is none.
const takeSeveral = `
end
local taken = {}
for i = 1, tonumber(ARGV[#ARGV - 1]) do
  taken[i] = take()
  if not taken[i] then break end
end
return taken`

// fenced is the script of a command with what goes before it. asynq's scripts count their keys and arguments from the
// front, so one of each can stand behind.
func (c command) fenced() script {
	prelude := fencePrelude
	if c.kind == finish || c.kind == put {
		prelude += serverPrelude
	}
	if c.active >= 0 && c.kind != take {
		prelude += fmt.Sprintf(leasePrelude, c.active+2, c.active+1)
	}
	if c.completed >= 0 {
		prelude += fmt.Sprintf(resultPrelude, c.completed+1)
	}
	if c.kind == take {
		return newScript(prelude + "local function take()\n" + c.source + takeSeveral)
	}
	return newScript(prelude + strings.ReplaceAll(c.source, lookWhole, lookFromOldest))
}

func newScript(source string) script {
	sum := sha1.Sum([]byte(source))
	return script{source: source, hash: hex.EncodeToString(sum[:])}
}

// An active task is in its list once, and most of those that end are among the oldest, at its end: asynq looks through all of it.
const (
	lookWhole      = `, 0, ARGV[1])`
	lookFromOldest = `, -1, ARGV[1])`
)

type unfenced struct{}

// Unfenced has tasks created whoever leads by now, for those that no other worker may know of.
func Unfenced(ctx context.Context) context.Context { return context.WithValue(ctx, unfenced{}, true) }

func isStale(err error) bool { return err != nil && strings.Contains(err.Error(), stale) }

// noScript has go-redis send a script with its source.
type noScript struct{}

func (noScript) Error() string { return "NOSCRIPT its source is wanted" }
func (noScript) RedisError()   {}

// script is a script of asynq's with what goes before it here.
type script struct{ source, hash string }

// wanted is what asynq is told of a script whose source is not known here yet: it comes again with it then.
func (l *Lead) wanted(c command) error {
	if _, known := l.scripts.Load(c.hash); known {
		return nil
	}
	if c.source == "" {
		return noScript{}
	}
	l.scripts.Store(c.hash, c.fenced())
	return nil
}

// send sends a script of asynq with the fence of the lead.
func (l *Lead) send(ctx context.Context, c command, next redis.ProcessHook) (any, error) {
	known, _ := l.scripts.Load(c.hash)
	run := func(name, body string) (any, error) {
		args := append(append([]any{name, body, len(c.keys) + 1}, c.keys...), fenceKey(c.queue))
		cmd := redis.NewCmd(ctx, append(append(args, c.args...), string(l.Fence()))...)
		err := next(ctx, cmd)
		return cmd.Val(), err
	}
	value, err := run("evalsha", known.(script).hash)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return run("eval", known.(script).source)
	}
	return value, err
}
