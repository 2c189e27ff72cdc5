package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// store is the Redis of a world. Only the gate executes commands in it, one at a time.
type store struct {
	memory *miniredis.Miniredis
	server *server.Server
	// tells: whoever waits for a task is told of it (BLMOVE). Else this user may not wait.
	tells bool

	mu      sync.Mutex
	scripts *scripts
	waiting []*waiter
	jumped  bool
	ahead   time.Duration // of the clocks of everybody else
	starts  int
	// ends is when keys end that do, by this Redis' clock, next the first of it or zero, ticked how far the memory has come.
	// miniredis could look itself, at every key on every command: a seventh of the time of a history.
	ends         map[string]time.Time
	next, ticked time.Time
}

// waiter is a connection that waits for a list to have something.
type waiter struct {
	link    *link
	command []string
}

func newStore(t testing.TB) *store {
	t.Helper()
	m := miniredis.NewMiniRedis()
	m.Seed(1)
	c, err := m.Dial() // starts it without a listener
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s := &store{memory: m, server: m.Server(), ends: map[string]time.Time{}, ticked: time.Now()}
	s.scripts = newScripts(s)
	return s
}

func (s *store) execute(l *link, commands [][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jumped {
		s.memory.SetTime(s.now())
	}
	if !s.next.IsZero() && !s.now().Before(s.next) {
		s.tick()
	}
	for _, c := range commands {
		if strings.EqualFold(c[0], "subscribe") {
			l.mu.Lock()
			l.hears = true
			l.mu.Unlock()
		}
		switch {
		case !strings.EqualFold(c[0], "blmove"):
			if !s.scripts.run(l.peer, c) {
				s.dispatch(l.peer, c)
			}
		case s.tells:
			s.await(l, c)
		default:
			l.peer.WriteError("NOPERM this user has no permissions to run the 'blmove' command")
		}
	}
	s.tell()
}

// await has a connection wait until a list has something, or its time is over.
func (s *store) await(l *link, command []string) {
	seconds, err := strconv.ParseFloat(command[5], 64)
	if err != nil {
		l.peer.WriteError("ERR timeout is not a float or out of range")
		return
	}
	w := &waiter{l, command}
	s.waiting = append(s.waiting, w)
	time.AfterFunc(time.Duration(seconds*float64(time.Second)), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if at := slices.Index(s.waiting, w); at >= 0 {
			s.waiting = slices.Delete(s.waiting, at, at+1)
			l.peer.WriteNull()
			l.peer.Flush()
		}
	})
}

// tell answers whoever waits for a list that has something now.
func (s *store) tell() {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *waiter) bool {
		if w.link.closed() {
			return true
		}
		if !s.memory.Exists(w.command[1]) {
			return false
		}
		s.dispatch(w.link.peer, append([]string{"lmove"}, w.command[1:5]...))
		w.link.peer.Flush()
		return true
	})
}

// dispatch executes one command that is no script. INFO has what tells one start of a Redis from the next.
func (s *store) dispatch(peer *server.Peer, command []string) {
	if strings.EqualFold(command[0], "info") {
		peer.WriteBulk(fmt.Sprintf("# Server\r\nrun_id:start%d\r\n", s.starts))
		return
	}
	key, transaction := lasting(command), strings.EqualFold(command[0], "exec")
	if key != "" || transaction {
		s.tick()
	}
	s.server.Dispatch(peer, command)
	if key != "" {
		s.noteEnd(key)
	}
	if transaction { // of any commands
		s.noteEnds()
	}
}

// lasting is the key that a command says how long it lasts, or asks for it; empty for other commands.
func lasting(command []string) string {
	switch strings.ToLower(command[0]) {
	case "set":
		if len(command) > 3 {
			return command[1]
		}
	case "setex", "psetex", "getex", "expire", "pexpire", "expireat", "pexpireat", "ttl", "pttl", "expiretime", "pexpiretime":
		return command[1]
	case "copy", "rename":
		return command[2]
	}
	return ""
}

// now is the time of this Redis.
func (s *store) now() time.Time { return time.Now().Add(s.ahead) }

// tick lets the keys end whose time is over. When keys end is a moment of the clock of Redis: if that is set back, they stay longer.
func (s *store) tick() {
	now := s.now()
	if d := now.Sub(s.ticked); d != 0 {
		s.memory.FastForward(d)
	}
	s.ticked, s.next = now, time.Time{}
	for key, at := range s.ends {
		if !at.After(now) {
			delete(s.ends, key)
		} else {
			s.endsAt(at)
		}
	}
}

func (s *store) noteEnd(key string) {
	if left := s.memory.TTL(key); left > 0 {
		s.ends[key] = s.ticked.Add(left)
		s.endsAt(s.ends[key])
	}
}

func (s *store) noteEnds() {
	for _, key := range s.memory.Keys() {
		s.noteEnd(key)
	}
}

func (s *store) endsAt(at time.Time) {
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
	}
}

// jump sets the clock of Redis that much ahead of everybody else's, or behind.
func (s *store) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jumped, s.ahead = s.jumped || d != 0, d
}

// aside is the database that what is remembered lies in.
const aside = 15

// remember keeps what is in Redis just now, and forget makes it all there is: what a Redis has on disk that is started again.
func (s *store) remember() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write()
}

func (s *store) write() {
	s.memory.DB(aside).FlushDB()
	for _, key := range s.memory.Keys() {
		_ = s.memory.Copy(0, key, aside, key)
	}
}

func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memory.SwapDB(0, aside)
	s.write() // what it was started with is what it has on disk: it may be started once more
	s.starts++
	clear(s.scripts.known)
	s.noteEnds()
}

// forgot is Redis as it was when it remembered last, started again. Who was told of something that it has lost says it once
// more: who submits and approves, and who cancels.
func (w *world) forgot() {
	w.redis.forget()
	w.forgotten = time.Now()
	lostJobs, lostPairs := false, false
	for _, j := range w.plan.jobs {
		key := "unrole:job:{" + j.ID + "}"
		n, _ := strconv.ParseInt(w.redis.memory.HGet(key, "removed"), 10, 64)
		lostPairs = lostPairs || n < w.removed[j.ID]
		_, known := w.removed[j.ID]
		lostJobs = lostJobs || known && !w.redis.memory.Exists(key)
	}
	w.saw("Redis lost what it had said of a removal", lostPairs)
	w.saw("Redis lost a submission that it had taken", lostJobs)
	w.mu.Lock()
	everybody := w.everybody
	w.removed = map[string]int64{}
	cancelled := map[*job]bool{}
	for _, j := range w.plan.jobs {
		cancelled[j] = !j.Cancelled.IsZero()
		j.Cancelled, j.Kept = time.Time{}, nil
	}
	kept := slices.Sorted(maps.Keys(w.kept))
	w.mu.Unlock()
	for _, p := range everybody {
		p.sever()
	}
	for _, j := range w.plan.jobs {
		w.onceSubmitted(j, func(j *job) {
			w.submitAgain(j)
			if j.waits {
				w.approve(j)
			}
			if cancelled[j] {
				w.cancelJob(j)
			}
		})
	}
	for _, user := range kept {
		w.people.Go(func() { w.keep(user) })
	}
}
