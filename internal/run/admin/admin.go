// Package admin answers the questions of whoever runs a process: is it alive, is it ready and if not why, what has it
// counted, where does it spend its time.
package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/out/pace"
)

// Config says what the admin address knows. Redis is required.
type Config struct {
	// Redis returns an error while Redis cannot be used.
	Redis func(context.Context) error
	// Pace is the state of the fleet; nil for a process without DingTalk.
	Pace func(context.Context) (pace.Status, error)
	// Token remembers how DingTalk took the token of this process; nil for a process without one.
	Token *Token
	// HoldIsReady is for a process that does its work although the fleet holds, such as the intake.
	HoldIsReady bool
	// Keys says what is wrong with the keys of those who may call, and nil while nothing is. The other keys are in use all the
	// same, so it makes nobody unready. nil for a process that has none.
	Keys func() error
	// Metrics serves /metrics; nil leaves it out.
	Metrics http.Handler
}

// patience bounds one readiness check; Kubernetes asks with a time-out of 1 s unless told otherwise.
const patience = 3 * time.Second

// Handler serves
//
//	/livez        200 as long as the process answers at all; it asks nobody else
//	/readyz       200 or 503, and one line each for Redis, keys, token, hold and pause
//	/metrics      Prometheus
//	/debug/pprof  profiles
//
// It has no authentication: it belongs on an address that only operators reach.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		ready, lines := c.ready(ctx)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, strings.Join(lines, "\n"))
	})
	if c.Metrics != nil {
		mux.Handle("GET /metrics", c.Metrics)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (c Config) ready(ctx context.Context) (ready bool, lines []string) {
	say := func(what, format string, args ...any) {
		lines = append(lines, what+": "+fmt.Sprintf(format, args...))
	}
	if err := c.Redis(ctx); err != nil {
		say("redis", "%v", err)
		return false, lines
	}
	ready = true
	say("redis", "ok")
	if c.Keys != nil {
		if err := c.Keys(); err != nil {
			say("keys", "%v", err)
		} else {
			say("keys", "ok")
		}
	}
	if c.Token != nil {
		ok, words := c.Token.Words()
		say("token", "%s", words)
		ready = ready && ok
	}
	if c.Pace == nil {
		return ready, lines
	}
	s, err := c.Pace(ctx)
	if err != nil {
		say("hold", "not known: %v", err)
		return false, lines
	}
	switch {
	case s.Hold != nil:
		say("hold", "%s; since %s; %s", s.Hold.Words(), clock(s.Hold.Since), outcome.RemedyOf(s.Hold.Kind))
		ready = ready && c.HoldIsReady
	default:
		say("hold", "none")
	}
	switch {
	case s.Outage != nil:
		say("pause", "DingTalk has not answered since %s; probed next at %s", clock(s.Outage.Since), clock(s.Outage.NextProbe))
	case s.Pause != nil:
		say("pause", "throttled (%s %s) until %s", s.Pause.Limit, s.Pause.Why, clock(s.Pause.Until))
	default:
		say("pause", "none")
	}
	return ready, lines
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
