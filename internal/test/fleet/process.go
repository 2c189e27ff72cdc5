package fleet

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/redisconn"
)

// process is everything that ends, freezes and loses its connections together. It is an http.RoundTripper, too: its way to
// DingTalk and to the receiver of the webhook.
type process struct {
	world *world
	name  string
	rdb   *redis.Client
	// free ones do not wait at the gate: whoever looks at the world from outside.
	free bool
	// alive ends with the process, by itself or by a fault.
	alive context.Context
	end   context.CancelFunc

	mu         sync.Mutex
	links      map[*link]bool
	dead       bool
	frost      bool
	partedOff  bool // neither Redis nor DingTalk is reached
	operations int
}

func (w *world) newProcess(name string) *process {
	p := &process{world: w, name: name, links: map[*link]bool{}}
	p.alive, p.end = context.WithCancel(context.Background())
	target, err := redisconn.Parse("redis://10.0.0.1:6379/0")
	if err != nil {
		w.t.Fatal(err)
	}
	made := target.Client().(*redis.Client)
	options := *made.Options()
	_ = made.Close()
	options.Dialer = p.dial
	options.PoolSize = 4000                                      // who waits for a connection takes a timer from a pool that all bubbles of the process share
	options.ReadBufferSize, options.WriteBufferSize = 4096, 4096 // a connection lasts for some hundred commands here
	options.MinRetryBackoff, options.MaxRetryBackoff = 50*time.Millisecond, 50*time.Millisecond
	p.rdb = redis.NewClient(&options)
	w.mu.Lock()
	w.everybody = append(w.everybody, p)
	w.mu.Unlock()
	return p
}

func (p *process) dial(context.Context, string, string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.partedOff {
		return nil, syscall.ECONNREFUSED
	}
	l := newLink(p)
	p.links[l] = true
	return l, nil
}

func (p *process) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// die ends the process as kill -9 does. What runs of it in this bubble reaches nothing any more, and ends.
func (p *process) die() {
	p.mu.Lock()
	was := p.dead
	p.dead, p.frost = true, false
	p.mu.Unlock()
	if was {
		return
	}
	p.cut()
	p.end()
}

// cut breaks every connection.
func (p *process) cut() { p.breakAll((*link).drop) }

// sever breaks every connection, and what was sent over it is lost.
func (p *process) sever() { p.breakAll((*link).sever) }

func (p *process) breakAll(how func(*link, error)) {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.links))
	p.mu.Unlock()
	for _, l := range all {
		how(l, syscall.ECONNRESET)
	}
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

func (p *process) frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frost
}

// freeze stops the process from doing anything outside itself, thaw lets it go on where it was.
func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frost = !p.dead
}

func (p *process) thaw() {
	p.mu.Lock()
	p.frost = false
	for l := range p.links {
		l.nudge()
	}
	p.mu.Unlock()
	p.world.gate.nudge()
}

// part cuts the process off from everything, until it is let back.
func (p *process) part(off bool) {
	p.mu.Lock()
	p.partedOff = off
	p.mu.Unlock()
	if off {
		p.cut()
	}
}

// count numbers the operations of the process from 1.
func (p *process) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.operations++
	return p.operations
}

// done is how many operations the process has done.
func (p *process) done() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.operations
}

// RoundTrip sends a request, and gets its answer, as two operations.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	what, form, err := describeRequest(r)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	f, err := p.pass(r.Context(), what, form)
	if err == nil && time.Since(asked) > lateAfter {
		p.world.lateCall(r)
	}
	switch {
	case err != nil:
		return nil, err
	case f.kind == cutBefore, p.cutOff():
		return nil, syscall.ECONNRESET
	}
	answer, err := p.world.answer(r)
	if f.kind == dieAfter {
		p.die()
		return nil, syscall.ECONNRESET
	}
	if f.kind == cutAfter {
		return nil, syscall.ECONNRESET
	}
	switch f, failed := p.pass(r.Context(), "answer to "+what, nil); {
	case failed != nil:
		return nil, failed
	case f.kind == dieAfter:
		p.die()
		return nil, syscall.ECONNRESET
	case f.kind == cutBefore, f.kind == cutAfter:
		return nil, syscall.ECONNRESET
	}
	return answer, err
}

func (p *process) cutOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.partedOff || p.dead
}

// pass waits until the gate lets the process do something, or ctx ends.
func (p *process) pass(ctx context.Context, what string, form url.Values) (fate, error) {
	opened := make(chan fate, 1)
	o := &operation{by: p, what: what, form: form, open: func(f fate) { opened <- f }}
	p.world.gate.wait(o)
	var f fate
	select {
	case f = <-opened:
	case <-ctx.Done():
		// To a process that does not run no time passes: it finds the answer there when it wakes up.
		if !p.frozen() && p.world.gate.withdraw(o) {
			return fate{}, ctx.Err()
		}
		f = <-opened
	}
	if f.kind == dieBefore {
		p.die()
		return f, syscall.ECONNRESET
	}
	return f, nil
}

// describeRequest names a request, and reads its form.
func describeRequest(r *http.Request) (string, url.Values, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return "", nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	sum := fnv.New32a()
	_, _ = sum.Write(body)
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = nil // it has another form
	}
	return fmt.Sprintf("%s %s %x", r.Method, r.URL.Path, sum.Sum32()), form, nil
}
