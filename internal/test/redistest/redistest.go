// Package redistest starts Redis servers for tests: a real redis-server where Redis itself matters, the in-memory
// miniredis where only speed does.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// RequireEnv names the environment variable that turns a missing redis-server from a skipped test into a failed one.
// CI sets it.
const RequireEnv = "UNROLE_REQUIRE_REDIS"

// Server is a redis-server process of one test. It listens on a free loopback port, keeps its data in a directory of
// the test with the append-only file on, and is stopped when the test ends.
type Server struct {
	Addr string
	Dir  string

	t    testing.TB
	args []string
	mu   sync.Mutex
	cmd  *exec.Cmd
}

// Start starts a redis-server with `maxmemory-policy noeviction` and AOF, waits until it answers, and stops it at the
// end of the test. Further arguments go to redis-server ("--requirepass", "secret"). Where no redis-server is
// installed the test is skipped, or fails when RequireEnv is set.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv(RequireEnv) != "" {
			t.Fatalf("redis-server is not installed and %s is set: install Debian's redis-server", RequireEnv)
		}
		t.Skip("redis-server is not installed (apt-get install redis-server)")
	}
	s := &Server{t: t, Dir: t.TempDir()}
	port := Port(t)
	s.Addr = net.JoinHostPort("127.0.0.1", port)
	s.args = append([]string{bin, "--port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "",
		"--appendonly", "yes", "--maxmemory-policy", "noeviction", "--daemonize", "no"}, args...)
	s.Resume()
	t.Cleanup(func() { s.end(syscall.SIGKILL) })
	return s
}

// URL is the address for REDIS_URL, without credentials.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Client returns a client of the server's database 0, closed at the end of the test.
func (s *Server) Client() *redis.Client { return client(s.t, s.Addr) }

// Stop ends the server with SIGTERM, as a planned restart does: the append-only file is complete.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Freeze stops the process from running without ending it, as a stalled machine does; Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// Resume starts the server again on the same port and data, and returns when it accepts commands.
func (s *Server) Resume() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	ready := make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(out)
		var said []string
		for lines.Scan() {
			said = append(said, lines.Text())
			if strings.Contains(lines.Text(), "eady to accept connections") {
				ready <- nil
				io.Copy(io.Discard, out)
				return
			}
		}
		ready <- fmt.Errorf("redis-server ended: %s", strings.Join(said, "\n"))
	}()
	select {
	case err := <-ready:
		if err != nil {
			s.t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		cmd.Process.Kill()
		s.t.Fatal("redis-server was not ready within 30 s")
	}
	s.cmd = cmd
}

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		s.cmd.Process.Signal(sig)
	}
}

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGCONT)
	s.cmd.Process.Signal(sig)
	s.cmd.Wait()
	s.cmd = nil
}

// Memory starts an in-memory Redis (miniredis) for the test and returns a client of it. Keys expire by
// the clock.
func Memory(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	return m, client(t, m.Addr())
}

func client(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { c.Close() })
	return c
}

// Both runs the test against an in-memory Redis and against a real one, as subtests "memory" and "redis".
func Both(t *testing.T, test func(t *testing.T, rdb *redis.Client)) {
	t.Run("memory", func(t *testing.T) {
		_, rdb := Memory(t)
		test(t, rdb)
	})
	t.Run("redis", func(t *testing.T) {
		test(t, Start(t).Client())
	})
}

// Keys returns all keys of the database, for tests that look for what was left behind.
func Keys(t testing.TB, rdb redis.UniversalClient) []string {
	t.Helper()
	var keys []string
	it := rdb.Scan(context.Background(), 0, "*", 1000).Iterator()
	for it.Next(context.Background()) {
		keys = append(keys, it.Val())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// Port returns a loopback port that belongs to the test until it ends, whether something listens on it or not: a server
// that is killed finds it free again. It is even, from 12000 to 21998: that is, like the bus of a Cluster node 10,000 above
// it, below the range from which systems take ports for connections and for listeners on port 0. The odd one above it is
// listened on meanwhile, which tells other tests that it is taken.
func Port(t testing.TB) string {
	t.Helper()
	const first, pairs = 12000, 5000
	for range 1000 {
		port := first + 2*rand.IntN(pairs)
		guard, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1)))
		if err != nil {
			continue
		}
		free, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			guard.Close()
			continue
		}
		free.Close()
		t.Cleanup(func() { guard.Close() })
		return strconv.Itoa(port)
	}
	t.Fatal("no free port was found in 1,000 tries")
	return ""
}

// AppendOnlyDir is where the server keeps its append-only file.
func (s *Server) AppendOnlyDir() string { return filepath.Join(s.Dir, "appendonlydir") }
