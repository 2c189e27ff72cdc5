package fleet

import (
	"bufio"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/test/redistest"
)

var keys = []string{"a", "b", "c"}

// ways are how a command gets to a Redis.
var ways = []string{"itself", "script", "transaction"}

// send has the store execute a command, and returns the last answer.
func (s *store) send(l *link, way string, command ...string) any {
	commands := [][]string{command}
	switch way {
	case "script":
		commands = [][]string{append([]string{"eval", "return redis.pcall(unpack(ARGV))", "0"}, command...)}
	case "transaction":
		commands = [][]string{{"multi"}, command, {"exec"}}
	}
	s.execute(l, commands)
	l.peer.Flush()
	var reply any
	for r := bufio.NewReader(&l.reply); l.reply.Len()+r.Buffered() > 0; {
		var err error
		if reply, err = server.ParseReply(r); err != nil {
			return err
		}
	}
	return reply
}

// drawEnd draws a command by which a key gets an end, keeps it, loses it or passes it on.
func drawEnd(rt *rapid.T, least, most int) []string {
	k, other := rapid.SampledFrom(keys).Draw(rt, "key"), rapid.SampledFrom(keys).Draw(rt, "other key")
	ms := fmt.Sprint(rapid.IntRange(least, most).Draw(rt, "ms"))
	commands := [][]string{{"set", k, "v"}, {"set", k, "v", "px", ms}, {"set", k, "w", "keepttl"}, {"set", k, "x", "nx", "px", ms}, {"setnx", k, "y"},
		{"psetex", k, ms, "z"}, {"getset", k, "u"}, {"append", k, "+"}, {"pexpire", k, ms}, {"pexpire", k, "-1"}, {"persist", k}, {"del", k}, {"rename", k, other},
		{"getex", k, "px", ms}, {"getex", k, "persist"}, {"exists", k}, {"pttl", k}}
	return rapid.SampledFrom(commands).Draw(rt, "command")
}

// Histories are worth as much as the Redis in them is like Redis.
func TestKeysGetTheirEndsInTheStoreAsInRedis(t *testing.T) {
	ctx, redis := context.Background(), redistest.Start(t).Client()
	rapid.Check(t, func(rt *rapid.T) {
		s, l := newStore(t), newLink(nil)
		defer s.memory.Close()
		if err := redis.FlushAll(ctx).Err(); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 20).Draw(rt, "commands") {
			command := drawEnd(rt, 3_600_000, 1_000_000_000)
			args := make([]any, len(command))
			for i := range command {
				args[i] = command[i]
			}
			redis.Do(ctx, args...)
			s.send(l, rapid.SampledFrom(ways).Draw(rt, "way"), command...)
			for _, key := range keys {
				want, _ := redis.Get(ctx, key).Result()
				got, _ := s.send(l, "itself", "get", key).(string)
				wantEnd := redis.PTTL(ctx, key).Val().Round(time.Minute)
				gotEnd := s.memory.TTL(key).Round(time.Minute)
				if got != want || max(0, wantEnd) != gotEnd {
					rt.Errorf("%q: %s is %q for %v, in Redis %q for %v", command, key, got, gotEnd, want, wantEnd)
				}
			}
		}
	})
}

// The store looks at keys only when one has to end; miniredis, which looks at each on every command, is right and slow.
func TestKeysOfTheStoreEndInTime(t *testing.T) {
	type step struct {
		way     string
		command []string
		after   time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		steps := make([]step, rapid.IntRange(1, 40).Draw(rt, "commands"))
		for i := range steps {
			steps[i] = step{rapid.SampledFrom(ways).Draw(rt, "way"), drawEnd(rt, 1, 1000), time.Duration(rapid.IntRange(0, 600).Draw(rt, "after")) * time.Millisecond}
		}
		wrong := ""
		synctest.Test(t, func(t *testing.T) {
			s, slow, l, other := newStore(t), newStore(t), newLink(nil), newLink(nil)
			defer s.memory.Close()
			defer slow.memory.Close()
			slow.memory.ClockTTL(true)
			for i, step := range steps {
				time.Sleep(step.after)
				s.send(l, step.way, step.command...)
				slow.server.Dispatch(other.peer, step.command)
				for _, key := range keys {
					s.execute(l, nil)
					got, _ := s.memory.Get(key)
					want, _ := slow.memory.Get(key)
					if got != want {
						wrong = fmt.Sprintf("after %d of %v: %s is %q, not %q", i+1, steps, key, got, want)
						return
					}
				}
			}
		})
		if wrong != "" {
			rt.Fatal(wrong)
		}
	})
}

func TestKeysOfTheStoreStayLongerWhenItsClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newStore(t), newLink(nil)
		defer s.memory.Close()
		s.send(l, "itself", "set", "a", "v", "px", "10000")
		s.jump(-5 * time.Second)
		time.Sleep(15*time.Second - time.Nanosecond)
		before := s.send(l, "itself", "get", "a")
		time.Sleep(time.Nanosecond)
		if after := s.send(l, "itself", "get", "a"); before != "v" || after != nil {
			t.Errorf("%v, then %v", before, after)
		}
	})
}
