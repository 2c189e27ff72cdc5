// Package httpserve answers HTTP requests with bounds on time and size, until it is told to stop.
package httpserve

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// ReadTimeout is how long a request may take to arrive, and WriteTimeout how long it may take to be answered. A handler
// that streams gives each piece WriteTimeout of its own.
const (
	ReadTimeout  = 30 * time.Second
	WriteTimeout = 60 * time.Second
)

// Serve answers requests on l until ctx ends, lets those under way end within drain, cuts the others off, and returns. The
// error is about the listener only.
func Serve(ctx context.Context, l net.Listener, h http.Handler, drain time.Duration, logger zerolog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(debugWriter{logger}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		server.Close()
		logger.Warn().Str("address", l.Addr().String()).Dur("waited", drain).Msg("requests were still under way and are cut off")
	}
	<-served
	return nil
}

// debugWriter takes what net/http logs: mostly clients that hang up.
type debugWriter struct{ log zerolog.Logger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
