// Package simtest runs a simulator of DingTalk at an address of its own, until the test ends.
package simtest

import (
	"cmp"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/unrole/unrole/internal/simulator"
)

// Server is a simulator behind an address of its own.
type Server struct {
	*simulator.Simulator
	// URL is the base URL without a trailing slash; AppKey and AppSecret are accepted there.
	URL       string
	AppKey    string
	AppSecret string

	connections atomic.Int64
}

// Connections is how many connections were made so far.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Start runs a simulator on a free port of the loopback interface until the test ends.
func Start(t testing.TB, opt simulator.Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the simulator: %v", err)
	}
	s := &Server{Simulator: simulator.New(opt), URL: "http://" + listener.Addr().String(),
		AppKey: cmp.Or(opt.AppKey, simulator.AppKey), AppSecret: cmp.Or(opt.AppSecret, simulator.AppSecret)}
	server := &http.Server{Handler: s.Simulator, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}
