// Package webui mounts asynq's web UI behind what it lacks itself: a password, protection against requests from other
// sites, and payloads that a person can read.
package webui

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/run/httpserve"
)

// User is the user name that goes with Config.Password.
const User = "unrole"

// Config says what the UI shows and who may see it. Redis is required.
type Config struct {
	Redis redis.UniversalClient
	// Prefix is the path that the UI lives under, such as /unrole/queues, behind a proxy say; empty is the root.
	Prefix string
	// AllowActions lets people run, archive and delete tasks and pause queues; else the UI only shows.
	AllowActions bool
	// Password is asked for, with the name User. Without one only requests to a loopback address or localhost are
	// answered, so that no page of another site reaches the UI by a name that it makes resolve to this machine.
	Password string
	// Prometheus is the address of a Prometheus server that scrapes unrole, for the UI's charts; empty hides them.
	Prometheus string
	// Log records every action with the address that it came from.
	Log zerolog.Logger
}

// New returns the UI's handler. /healthz, outside the prefix, tells without a password whether Redis answers.
func New(c Config) (http.Handler, error) {
	if c.Redis == nil {
		return nil, errors.New("web UI: Redis is required")
	}
	prefix, err := cleanPrefix(c.Prefix)
	if err != nil {
		return nil, err
	}
	ui := asynqmon.New(asynqmon.Options{
		RootPath: prefix, RedisConnOpt: connection{c.Redis}, ReadOnly: !c.AllowActions, PrometheusAddress: c.Prometheus,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(FormatPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(FormatResult),
	})
	mux := http.NewServeMux()
	mux.Handle(prefix+"/", ui)
	if prefix != "" {
		mux.Handle("/{$}", http.RedirectHandler(prefix+"/", http.StatusSeeOther))
	}
	guarded := http.NewCrossOriginProtection().Handler(c.logActions(mux))
	if c.Password != "" {
		guarded = withPassword(c.Password, guarded)
	} else {
		guarded = loopbackOnly(guarded)
	}
	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", c.health)
	outer.Handle("/", guarded)
	return withHeaders(outer), nil
}

func cleanPrefix(prefix string) (string, error) {
	prefix = strings.TrimRight(prefix, "/")
	if prefix == "" {
		return "", nil
	}
	u, err := url.Parse(prefix)
	if err != nil || u.Path != prefix || !strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "//") || strings.ContainsAny(prefix, "{} \"'<>") {
		return "", fmt.Errorf("path prefix %q is not one like /unrole/queues", prefix)
	}
	if prefix == "/healthz" {
		return "", errors.New("path prefix /healthz is taken by the health check")
	}
	return prefix, nil
}

// connection lends asynqmon the client; asynqmon is never closed, so the client stays the caller's.
type connection struct{ redis redis.UniversalClient }

func (c connection) MakeRedisClient() any { return c.redis }

func (c Config) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	if err := c.Redis.Ping(ctx).Err(); err != nil {
		c.Log.Warn().Err(err).Msg("health check: Redis does not answer")
		http.Error(w, "redis: does not answer", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "redis: ok")
}

// withPassword compares hashes, so that the time it takes tells nothing about the password.
func withPassword(password string, next http.Handler) http.Handler {
	wantUser, wantPassword := sha256.Sum256([]byte(User)), sha256.Sum256([]byte(password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, given, _ := r.BasicAuth()
		u, p := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(u[:], wantUser[:])&subtle.ConstantTimeCompare(p[:], wantPassword[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="unrole", charset="UTF-8"`)
			http.Error(w, "user name and password, please", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !httpserve.IsLoopback(r.Host) {
			http.Error(w, "without a password the web UI answers on 127.0.0.1 and localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c Config) logActions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			c.Log.Info().Str("method", r.Method).Str("path", r.URL.Path).Str("from", r.RemoteAddr).Msg("action in the web UI")
		}
		next.ServeHTTP(w, r)
	})
}

// withHeaders keeps the UI out of frames of other sites, and ids out of the logs of sites that it links to.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
