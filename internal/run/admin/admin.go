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
	// Metrics serves /metrics; nil leaves it out.
	Metrics http.Handler
}

// patience bounds one readiness check; Kubernetes asks with a time-out of 1 s unless told otherwise.
const patience = 3 * time.Second

// Handler serves
//
//	/livez        200 as long as the process answers at all; it asks nobody else
//	/readyz       200 or 503, and one line each for Redis, token, hold and pause
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
		say("hold", "%s; since %s; %s", s.Hold.Words(), clock(s.Hold.Since), Remedy(s.Hold.Kind))
		ready = ready && c.HoldIsReady
	default:
		say("hold", "none")
	}
	switch {
	case s.Outage != nil:
		say("pause", "DingTalk has not answered since %s; probed next at %s", clock(s.Outage.Since), clock(s.Outage.NextProbe))
	case s.Pause != nil:
		say("pause", "throttled (%s %s) until %s", s.Pause.Scope, s.Pause.Why, clock(s.Pause.Until))
	default:
		say("pause", "none")
	}
	return ready, lines
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Remedy is what an operator does about a hold.
func Remedy(kind pace.HoldKind) string {
	switch kind {
	case pace.HoldCredentials:
		return "correct DINGTALK_APP_KEY and DINGTALK_APP_SECRET, then restart the workers"
	case pace.HoldPermission:
		return "grant the permission in DingTalk's developer console; the workers go on by themselves"
	case pace.HoldIPNotAllowed:
		return "add the address to the app's IP white list; the workers go on by themselves"
	case pace.HoldDisabled:
		return "enable the app in DingTalk's developer console; the workers go on by themselves"
	case pace.HoldToken:
		return "check the app's credentials, or give a new DINGTALK_ACCESS_TOKEN and restart the workers"
	case pace.HoldTokenNotSent:
		return "look for a proxy that strips the query of requests; otherwise report a bug"
	case pace.HoldBadRequests:
		return "DingTalk takes the form of no call: look at the dead letters' codes and report a bug; the workers probe by themselves"
	case pace.HoldQuota:
		return "buy quota or wait for the next month, then unrole status --clear-hold"
	case pace.HoldEverythingRefused:
		return "check that the credentials are those of the right organisation; if the ids really are all bad, unrole status --confirm-refusals"
	case pace.HoldAudit:
		return "make the audit file writable again, then unrole status --clear-hold"
	}
	return "see the log of a worker"
}
