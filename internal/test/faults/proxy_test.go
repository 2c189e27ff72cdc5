package faults

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is the network between the commands and Redis: it forwards, stalls, cuts, and loses replies.
type proxy struct {
	listener net.Listener
	all      sync.WaitGroup
	asked    atomic.Int64 // requests; those of one pipeline are one

	mu      sync.Mutex
	target  string
	rng     *rand.Rand
	links   map[*link]bool
	loses   float64       // share of the replies that are lost, with their connection
	stalled chan struct{} // open while nothing gets through, nil otherwise
	lost    int           // replies so far
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	gone           chan struct{}
	once           sync.Once
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.gone)
		l.client.Close()
		l.server.Close()
	})
}

func startProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, links: map[*link]bool{}, rng: rand.New(rand.NewPCG(seed, 2))}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.heal()
		p.cut()
		p.all.Wait()
	})
	return p
}

// url is the Redis as it is reached through the proxy.
func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() + "/0" }

// turnTo makes another Redis the one behind the proxy, as a failover does.
func (p *proxy) turnTo(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.cut()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil {
			client.Close() // what a Redis that is not there looks like
			continue
		}
		l := &link{client: client, server: server, gone: make(chan struct{})}
		p.mu.Lock()
		p.links[l] = true
		p.mu.Unlock()
		p.all.Go(func() { p.forward(l, server, client, false) })
		p.all.Go(func() { p.forward(l, client, server, true) })
	}
}

// forward copies one direction of a link until it ends or the proxy lets it end.
func (p *proxy) forward(l *link, to, from net.Conn, replies bool) {
	defer func() {
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !p.pass(l, replies) {
			return
		}
		if !replies {
			p.asked.Add(1)
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// pass waits out a stall and reports whether the bytes arrive. A reply that is lost takes its connection with it: what
// it answers was done, and the client cannot know.
func (p *proxy) pass(l *link, reply bool) bool {
	p.mu.Lock()
	stalled := p.stalled
	lost := reply && p.loses > 0 && p.rng.Float64() < p.loses
	if lost {
		p.lost++
	}
	p.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-l.gone:
			return false
		}
	}
	return !lost
}

// cut ends every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// lose makes that share of the replies get lost.
func (p *proxy) lose(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loses = share
}

// stall lets nothing through, in either direction, until heal.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// heal makes it a network without faults.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loses = 0
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}
