package httpserve_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/run/httpserve"
)

// pipes is a listener whose connections are in memory, so that their deadlines follow the test's clock.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p.conns); return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// served runs test against a server with the handler, in a bubble of time, and stops the server.
func served(t *testing.T, h http.HandlerFunc, test func(t *testing.T, p pipes, stop func())) {
	synctest.Test(t, func(t *testing.T) {
		p := pipes{make(chan net.Conn)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- httpserve.Serve(ctx, p, h, 5*time.Second, zerolog.Nop()) }()
		test(t, p, stop)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // handlers that were cut off end
	})
}

// cutAfter reads from the connection until the server ends it, and returns how long that took.
func cutAfter(c net.Conn) time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(began)
}

// drip writes a byte a second until the connection ends.
func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

func TestASlowClientIsCutOff(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
	for name, tt := range map[string]struct {
		once, slow string
		most       time.Duration
	}{
		"in the header": {"GET / HTTP/1.1\r\n", strings.Repeat("X-Long: y\r\n", 100), 6 * time.Second},
		"in the body":   {head, strings.Repeat("b", 1000), httpserve.ReadTimeout + time.Second},
		"says nothing":  {"", "", 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					t.Error("the whole body has come")
				}
				w.Header().Set("Connection", "close")
			}
			served(t, read, func(t *testing.T, p pipes, _ func()) {
				c := p.dial()
				defer c.Close()
				if _, err := io.WriteString(c, tt.once); err != nil {
					t.Fatal(err)
				}
				go drip(c, tt.slow)
				if took := cutAfter(c); took > tt.most {
					t.Errorf("cut off after %v, want %v at most", took, tt.most)
				}
			})
		})
	}
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	var failed time.Duration
	write := func(w http.ResponseWriter, _ *http.Request) {
		began := time.Now()
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				failed = time.Since(began)
				return
			}
		}
	}
	served(t, write, func(t *testing.T, p pipes, _ func()) {
		c := p.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * httpserve.WriteTimeout)
		synctest.Wait()
		if failed == 0 || failed > httpserve.WriteTimeout {
			t.Errorf("the handler was given up after %v, want %v at most", failed, httpserve.WriteTimeout)
		}
	})
}

func TestRequestsUnderWayMayEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		takes    time.Duration
		answered bool
	}{
		"in time":  {4 * time.Second, true},
		"too late": {6 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			slow := func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(tt.takes)
				_, _ = io.WriteString(w, "done")
			}
			served(t, slow, func(t *testing.T, p pipes, stop func()) {
				c := p.dial()
				defer c.Close()
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				stop()
				answer, err := io.ReadAll(c)
				if got := strings.HasSuffix(string(answer), "done"); got != tt.answered {
					t.Errorf("answered: %v, want %v (%v)", got, tt.answered, err)
				}
			})
		})
	}
}

func TestABrokenListenerIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := httpserve.Serve(t.Context(), l, nil, time.Second, zerolog.Nop()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyThisMachineIsLoopback(t *testing.T) {
	for addr, want := range map[string]bool{"localhost": true, "LOCALHOST:8080": true, "127.0.0.1:80": true, "127.9.9.9": true, "[::1]:80": true,
		"[::1]": true, "::1": true, "10.0.0.1": false, "localhost.evil.com": false, "": false, "0.0.0.0:80": false, "[::]:80": false, ":80": false} {
		if httpserve.IsLoopback(addr) != want {
			t.Errorf("IsLoopback(%q) = %v", addr, !want)
		}
	}
}
