package pace

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/state.lua
	luaState string
	//go:embed lua/control.lua
	luaControl string
	//go:embed lua/answer.lua
	luaAnswer string
	//go:embed lua/ops.lua
	luaOps string
)

// script is all of the pacer's arithmetic: it runs in Redis, by the clock of Redis, so that the fleet has one state
// and the clocks of the workers do not matter.
var script = redis.NewScript(luaState + luaControl + luaAnswer + luaOps)

// reply is the script's answer to reserve, report, hold and clear.
type reply struct {
	word     string // granted, probe, paused, held, outage, later; ok; for clear the kind of hold it ended
	wait     time.Duration
	gen      int64
	seq      int64
	accepted int64
	spacing  time.Duration
	slots    int // how many follow each other by spacing, this one included; over 1 only where that is next to nothing
}

// send runs an operation that may take answers along. Answers that could not be delivered are kept.
func (p *Pacer) send(ctx context.Context, op string, args ...any) (reply, error) {
	p.sending.Lock()
	defer p.sending.Unlock()
	// The client may wait for a Redis that refuses; others want to know sooner.
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	todo := p.take()
	raw, err := p.eval(ctx, op, todo, args...).Slice()
	if err != nil {
		p.putBack(todo)
		return reply{}, fmt.Errorf("pace: %s: %w", op, err)
	}
	return parseReply(raw)
}

func (p *Pacer) eval(ctx context.Context, op string, todo []answer, args ...any) *redis.Cmd {
	var list string
	if len(todo) > 0 {
		b, err := json.Marshal(todo)
		if err != nil {
			panic(err) // numbers and strings only
		}
		list = string(b)
	}
	argv := make([]any, 0, 2+len(p.settled)+len(args))
	argv = append(argv, op)
	argv = append(argv, p.settled...)
	argv = append(argv, list)
	return script.Run(ctx, p.rdb, p.keys, append(argv, args...)...)
}

func parseReply(raw []any) (reply, error) {
	var r reply
	var numbers [6]int64
	if len(raw) < 3 || len(raw) > 1+len(numbers) {
		return r, fmt.Errorf("pace: reply of %d elements from the script", len(raw))
	}
	word, ok := raw[0].(string)
	for i, v := range raw[1:] {
		n, isInt := v.(int64)
		ok = ok && isInt
		numbers[i] = n
	}
	if !ok {
		return r, fmt.Errorf("pace: unreadable reply from the script: %v", raw)
	}
	return reply{word: word, wait: time.Duration(numbers[0]) * time.Microsecond, gen: numbers[1], seq: numbers[2],
		accepted: numbers[3], spacing: time.Duration(numbers[4]) * time.Microsecond, slots: int(numbers[5])}, nil
}
