package simulator

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
)

// TB is what Start needs of a testing.TB; package testing itself does not belong into a command.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Server is a simulator behind an address of its own.
type Server struct {
	*Simulator
	// URL is the base URL without a trailing slash; AppKey and AppSecret are accepted there.
	URL       string
	AppKey    string
	AppSecret string

	connections atomic.Int64
}

// Connections is how many connections were made so far.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// Start runs a simulator on a free port of the loopback interface until the test ends.
func Start(t TB, opt Options) *Server {
	t.Helper()
	sim := New(opt)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start the simulator: %v", err)
	}
	s := &Server{Simulator: sim, URL: "http://" + listener.Addr().String(), AppKey: sim.opt.AppKey, AppSecret: sim.opt.AppSecret}
	server := &http.Server{Handler: sim, ConnState: func(_ net.Conn, state http.ConnState) {
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

// Transport reaches the simulator without a network, whatever the host of the request: for a testing/synctest bubble
// and for a process that is its own DingTalk.
func (s *Simulator) Transport() http.RoundTripper { return transport{s} }

type transport struct{ simulator *Simulator }

// RoundTrip has the simulator serve the request in the caller's goroutine.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	inbound := req.Clone(req.Context())
	if inbound.Body == nil {
		inbound.Body = http.NoBody
	}
	w := &recorder{header: make(http.Header)}
	aborted := serve(t.simulator, w, inbound)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if aborted && w.status == 0 {
		return nil, syscall.ECONNRESET
	}
	body := io.Reader(&w.body)
	if aborted {
		body = io.MultiReader(body, brokenOff{})
	}
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(body), ContentLength: -1, Request: req,
	}, nil
}

func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if err, is := p.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// recorder holds an answer until the handler is done.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// Flush has nothing to do: the answer is handed over when the handler is done.
func (w *recorder) Flush() {}
