package fleet

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// store is the Redis of a world. Only the gate executes commands in it, one at a time.
type store struct {
	memory  *miniredis.Miniredis
	server  *server.Server
	scripts *scripts
	jumped  bool
	ahead   time.Duration // of the clocks of everybody else
}

func newStore(t testing.TB) *store {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.Seed(1)
	m.ClockTTL(true)
	c, err := m.Dial() // starts it without a listener
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s := &store{memory: m, server: m.Server()}
	s.scripts = newScripts(s)
	return s
}

func (s *store) execute(l *link, commands [][]string) {
	if s.jumped {
		s.memory.SetTime(time.Now().Add(s.ahead))
	}
	for _, c := range commands {
		if strings.EqualFold(c[0], "subscribe") {
			l.mu.Lock()
			l.hears = true
			l.mu.Unlock()
		}
		if strings.EqualFold(c[0], "blmove") {
			// A command that waits would keep everybody waiting here: this Redis does not let workers be told of new tasks.
			l.peer.WriteError("NOPERM this user has no permissions to run the 'blmove' command")
			continue
		}
		if !s.scripts.run(l.peer, c) {
			s.server.Dispatch(l.peer, c)
		}
	}
}

// jump sets the clock of Redis that much ahead of everybody else's, or behind.
func (s *store) jump(d time.Duration) {
	s.jumped, s.ahead = s.jumped || d != 0, d
}
