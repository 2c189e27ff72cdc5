// Package webui mounts asynq's web UI, which shows engineers the queues, with payloads that a person can read, and so that
// it loads nothing from elsewhere.
package webui

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/run/signin"
)

// Config says what the UI shows. Redis is required.
type Config struct {
	Redis redis.UniversalClient
	// Prefix is the path that the UI lives under, such as /queues, as signin.CleanPrefix returns it; empty is the root.
	Prefix string
	// AllowActions lets operators run, archive and delete tasks and pause queues; else the UI only shows.
	AllowActions bool
	// Prometheus is the address of a Prometheus server that scrapes unrole, for the UI's charts; empty hides them.
	Prometheus string
	// Log records every action with who did it.
	Log zerolog.Logger
}

// New returns the UI's handler, to be put behind the guard of package signin.
func New(c Config) (http.Handler, error) {
	if c.Redis == nil {
		return nil, errors.New("web UI: Redis is required")
	}
	ui := asynqmon.New(asynqmon.Options{
		RootPath: c.Prefix, RedisConnOpt: connection{c.Redis}, ReadOnly: !c.AllowActions, PrometheusAddress: c.Prometheus,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(FormatPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(FormatResult),
	})
	return c.operatorsAct(ownOnly(ui)), nil
}

// connection lends asynqmon the client; asynqmon is never closed, so the client stays the caller's.
type connection struct{ redis redis.UniversalClient }

func (c connection) MakeRedisClient() any { return c.redis }

// operatorsAct lets nobody change anything who may not, and records who does.
func (c Config) operatorsAct(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			by := signin.Of(r)
			if c.AllowActions && !by.Operates() {
				http.Error(w, "you may look at the queues, and change nothing in them", http.StatusForbidden)
				return
			}
			c.Log.Info().Str("method", r.Method).Str("path", r.URL.Path).Str("by", by.Name).Str("from", r.RemoteAddr).Msg("action in the web UI of the queues")
		}
		next.ServeHTTP(w, r)
	})
}

// elsewhere is what the UI's page asks of other sites: fonts that it looks no worse without, but waits for.
var (
	elsewhere = regexp.MustCompile(`<link [^>]*href="https?://[^>]*>`)
	inline    = []byte("<script>")
	head      = []byte(`<meta charset="utf-8"/>`)
)

// ownOnly takes out of the UI's page what it would load from elsewhere, and has the browser refuse whatever else is not the
// UI's own.
func ownOnly(ui http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self' 'nonce-%[1]s'; style-src 'self' 'nonce-%[1]s'; "+
			"img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'", nonce))
		p := &pageWriter{ResponseWriter: w}
		ui.ServeHTTP(p, r)
		if !p.page {
			if !p.begun && p.status != 0 {
				w.WriteHeader(p.status)
			}
			return
		}
		page := elsewhere.ReplaceAll(p.body.Bytes(), nil)
		page = bytes.ReplaceAll(page, inline, []byte(`<script nonce="`+nonce+`">`))
		// The UI's styles are made by a script, which takes the nonce from here.
		page = bytes.Replace(page, head, append(head[:len(head):len(head)], `<meta property="csp-nonce" content="`+nonce+`"/>`...), 1)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		w.Header().Set("Cache-Control", "no-store")
		if p.status != 0 {
			w.WriteHeader(p.status)
		}
		_, _ = w.Write(page) // the reader may have gone
	})
}

// pageWriter holds a page back, and lets everything else pass.
type pageWriter struct {
	http.ResponseWriter
	body   bytes.Buffer
	status int
	begun  bool
	page   bool
}

// WriteHeader waits for the first piece of the body, which tells whether it is a page.
func (p *pageWriter) WriteHeader(status int) { p.status = status }

func (p *pageWriter) Write(b []byte) (int, error) {
	if !p.begun {
		p.begun = true
		p.page = bytes.HasPrefix(bytes.ToLower(b[:min(len(b), 15)]), []byte("<!doctype html>"))
		if !p.page && p.status != 0 {
			p.ResponseWriter.WriteHeader(p.status)
		}
	}
	if p.page {
		return p.body.Write(b)
	}
	return p.ResponseWriter.Write(b)
}
