package fleet

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// link is a connection of a process to the Redis of its world, in memory. What is written waits at the gate, command by
// command or pipeline by pipeline; what comes back is buffered.
type link struct {
	by   *process
	peer *server.Peer // Redis' end

	mu       sync.Mutex
	request  []byte // not yet a whole command
	sending  bool   // commands have not happened yet
	next     [][]string
	reply    bytes.Buffer
	gone     error         // set once it is closed
	severed  bool          // what was sent and has not happened is lost
	hears    bool          // it has subscriptions
	changed  chan struct{} // holds a token when there is something new for a reader
	deadline time.Time
}

func newLink(by *process) *link {
	l := &link{by: by, changed: make(chan struct{}, 1)}
	l.peer = server.NewPeer(bufio.NewWriter(replies{l}))
	return l
}

// replies is where Redis writes: also what was published, from goroutines of its own.
type replies struct{ *link }

func (r replies) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.reply.Write(p)
	r.mu.Unlock()
	r.nudge()
	return len(p), nil
}

func (l *link) nudge() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *link) Read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		n, _ := l.reply.Read(p)
		gone, deadline := l.gone, l.deadline
		l.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case gone != nil:
			return 0, gone
		case deadline.IsZero():
			<-l.changed
			continue
		}
		left := time.Until(deadline)
		switch {
		case left > 0:
		case l.by.frozen(): // no time passes for it: it finds the reply there when it wakes up
			<-l.changed
			continue
		default:
			return 0, os.ErrDeadlineExceeded
		}
		timer := time.NewTimer(left)
		select {
		case <-l.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Write takes commands. It never waits.
func (l *link) Write(p []byte) (int, error) {
	l.mu.Lock()
	if l.gone != nil {
		l.mu.Unlock()
		return 0, l.gone
	}
	l.request = append(l.request, p...)
	commands, used := parse(l.request)
	l.request = append(l.request[:0], l.request[used:]...)
	turn := !l.sending
	if !turn {
		l.next = append(l.next, commands...)
	}
	l.mu.Unlock()
	if len(commands) == 0 || !turn {
		return len(p), nil
	}
	if l.by.free || handshake(commands) {
		// Not worth a place in the history; and a client holds locks meanwhile, which a bubble cannot see through.
		l.by.world.redis.execute(l, commands)
		l.peer.Flush()
		return len(p), nil
	}
	l.send(commands)
	return len(p), nil
}

// send has commands happen. What is written meanwhile, as the rest of a long pipeline is, happens after that, as on any connection.
func (l *link) send(commands [][]string) {
	l.mu.Lock()
	l.sending = true
	l.mu.Unlock()
	l.by.world.gate.wait(&operation{by: l.by, what: describe(commands), open: func(f fate) {
		l.happen(commands, f)
		l.mu.Lock()
		next := l.next
		l.sending, l.next = false, nil
		l.mu.Unlock()
		if len(next) > 0 {
			l.send(next)
		}
	}})
}

// happen executes commands with what becomes of them.
func (l *link) happen(commands [][]string, f fate) {
	if l.lost() || l.closed() && f.kind == dieBefore { // else nobody waits for them any more, but they were sent
		return
	}
	switch f.kind {
	case dieBefore:
		l.by.die()
		return
	case cutBefore:
		l.drop(syscall.ECONNRESET)
		return
	case refused:
		var said strings.Builder
		for range commands {
			said.WriteString("-" + f.says + "\r\n")
		}
		_, _ = replies{l}.Write([]byte(said.String()))
		return
	}
	l.by.world.redis.execute(l, commands)
	switch f.kind {
	case dieAfter:
		l.by.die()
	case cutAfter:
		l.drop(syscall.ECONNRESET)
	case late:
		time.AfterFunc(f.late, l.peer.Flush)
	default:
		l.peer.Flush()
	}
}

func (l *link) closed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone != nil
}

func (l *link) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.severed
}

// sever ends the connection, and nothing that was sent over it happens any more.
func (l *link) sever(why error) {
	l.mu.Lock()
	l.severed = true
	l.mu.Unlock()
	l.drop(why)
}

// drop ends the connection for both sides.
func (l *link) drop(why error) {
	l.mu.Lock()
	if l.gone == nil {
		l.gone = why
	}
	heard := l.hears
	l.hears = false
	l.mu.Unlock()
	if heard {
		l.by.world.redis.execute(l, [][]string{{"UNSUBSCRIBE"}})
	}
	l.by.forget(l)
	l.nudge()
}

func (l *link) Close() error {
	l.drop(net.ErrClosed)
	return nil
}

func (l *link) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

func (l *link) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	l.deadline = t
	l.mu.Unlock()
	l.nudge()
	return nil
}

func (l *link) SetWriteDeadline(time.Time) error { return nil }

func (l *link) LocalAddr() net.Addr  { return address }
func (l *link) RemoteAddr() net.Addr { return address }

var address = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 6379}

// parse reads the whole commands at the beginning of b and says how many bytes they are.
func parse(b []byte) (commands [][]string, used int) {
	r := bytes.NewReader(b)
	for {
		command, err := parseOne(r)
		if err != nil {
			return commands, used
		}
		used = len(b) - r.Len()
		commands = append(commands, command)
	}
}

func parseOne(r *bytes.Reader) ([]string, error) {
	n, err := parseHead(r, '*')
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := parseHead(r, '$')
		if err != nil {
			return nil, err
		}
		if r.Len() < size+2 {
			return nil, io.ErrUnexpectedEOF
		}
		text := make([]byte, size+2)
		_, _ = r.Read(text)
		command[i] = string(text[:size])
	}
	return command, nil
}

func parseHead(r *bytes.Reader, kind byte) (int, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	if first != kind {
		return 0, fmt.Errorf("%q is no command", first)
	}
	n := 0
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case c == '\r':
			_, err := r.ReadByte()
			return n, err
		}
		d, err := strconv.Atoi(string(c))
		if err != nil {
			return 0, err
		}
		n = 10*n + d
	}
}

func handshake(commands [][]string) bool {
	switch strings.ToLower(commands[0][0]) {
	case "hello", "client", "auth", "select", "subscribe", "unsubscribe", "ping":
		return true
	}
	return false
}

// unnamed ends the description of a pipeline that is too long to name all of it.
const unnamed = " more"

// describe names what commands do, the same in each run: names and keys, the rest left out. Names that are drawn anew at
// each start are left out too.
func describe(commands [][]string) string {
	var s strings.Builder
	for i, c := range commands {
		if i == 8 {
			fmt.Fprintf(&s, " and %d%s", len(commands)-i, unnamed)
			break
		}
		if i > 0 {
			s.WriteString("; ")
		}
		name := strings.ToLower(c[0])
		s.WriteString(name)
		keys := c[1:min(2, len(c))]
		if name == "evalsha" || name == "eval" {
			fmt.Fprintf(&s, " %.6s", c[1])
			if n, err := strconv.Atoi(c[2]); err == nil && len(c) >= 3+n {
				keys = c[3 : 3+n]
			}
		}
		for _, k := range keys {
			if strings.HasPrefix(k, "asynq:servers:{") || strings.HasPrefix(k, "asynq:workers:{") {
				k = k[:15]
			}
			s.WriteString(" " + k)
		}
	}
	return s.String()
}
