package httpapi

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

const (
	// readTimeout is how long a request may take to arrive, and writeTimeout how long it may take to be answered; each
	// piece of a report has writeTimeout for itself.
	readTimeout  = 30 * time.Second
	writeTimeout = 60 * time.Second
	// stopTimeout is how long requests under way have when the intake stops.
	stopTimeout = 20 * time.Second
)

// Serve answers requests on l until ctx ends, lets those under way end, and returns.
func Serve(ctx context.Context, l net.Listener, h http.Handler, logger zerolog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
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
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		server.Close()
		return fmt.Errorf("requests were still under way after %s and were cut off: %w", stopTimeout, err)
	}
	return nil
}

// debugWriter takes what net/http logs: mostly clients that hang up.
type debugWriter struct{ log zerolog.Logger }

func (d debugWriter) Write(p []byte) (int, error) {
	d.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
