// Package signin knows who looks at the web pages and what they may do there, and keeps everybody else out.
package signin

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

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/run/httpserve"
)

// User is the user name that goes with Config.Password.
const User = "unrole"

// Role is what somebody may do. A higher one may do all that a lower one may.
type Role int

const (
	// Viewer sees everything.
	Viewer Role = iota + 1
	// Operator submits and cancels removals, and tries dead letters again or gives them up.
	Operator
	// Approver lets removals begin that wait for approval.
	Approver
)

// Person is who makes a request.
type Person struct {
	// Name is what the audit calls them.
	Name string
	Role Role
	// Known says that they signed in by a name of their own, and can sign out.
	Known bool
	// Shared says that several people go by this name: it is no proof that somebody is another person.
	Shared bool
}

// Operates reports whether the person may change anything; Approves, whether they may approve.
func (p Person) Operates() bool { return p.Role >= Operator }
func (p Person) Approves() bool { return p.Role >= Approver }

type personKey struct{}

// Of is who makes the request. It is the zero Person, who may do nothing, for a request that did not come through the guard.
func Of(r *http.Request) Person {
	p, _ := r.Context().Value(personKey{}).(Person)
	return p
}

// With is the request as made by somebody.
func With(r *http.Request, p Person) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), personKey{}, p))
}

// Config says who may see the pages. Redis and Pages are required.
type Config struct {
	Redis redis.UniversalClient
	// Pages are what is guarded; they find who asks by Of.
	Pages http.Handler
	// Prefix is the path that the pages live under, as CleanPrefix returns it.
	Prefix string
	// Password is asked for, with the name User. Without one only requests to a loopback address or localhost are
	// answered, so that no page of another site reaches them by a name that it makes resolve to this machine.
	Password string
	// Users, if not nil, are the people who sign in by names of their own; then there is no Password. Page shows them the
	// sign-in form.
	Users *Users
	Page  func(w http.ResponseWriter, r *http.Request, f Form, status int)
	// AllowActions lets whoever has no name of their own change things; else they only look.
	AllowActions bool
	// Local is what the audit calls whoever sits at this machine; empty means User.
	Local string
	Log   zerolog.Logger
}

// New returns the guard before the pages. /healthz, outside the prefix, tells without a password whether Redis answers.
func New(c Config) (http.Handler, error) {
	if c.Redis == nil || c.Pages == nil || c.Users != nil && c.Page == nil {
		return nil, errors.New("sign-in: Redis and Pages are required, and Page with Users")
	}
	pages := http.NewServeMux()
	pages.Handle("/", c.Pages)
	if c.Prefix != "" {
		pages.Handle("/{$}", http.RedirectHandler(c.Prefix+"/", http.StatusSeeOther))
	}
	guarded := http.NewCrossOriginProtection().Handler(pages)
	switch {
	case c.Users != nil:
		var err error
		if guarded, err = c.withUsers(guarded); err != nil {
			return nil, err
		}
	case c.Password != "":
		guarded = c.withPassword(guarded)
	default:
		guarded = c.loopbackOnly(guarded)
	}
	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", c.health)
	outer.Handle("/", guarded)
	return withHeaders(outer), nil
}

// CleanPrefix is a path that pages may live under, without its last slash; empty is the root.
func CleanPrefix(prefix string) (string, error) {
	prefix = strings.TrimRight(prefix, "/")
	if prefix == "" {
		return "", nil
	}
	u, err := url.Parse(prefix)
	if err != nil || u.Path != prefix || !strings.HasPrefix(prefix, "/") || strings.HasPrefix(prefix, "//") || strings.ContainsAny(prefix, "{} \"'<>") {
		return "", fmt.Errorf("path prefix %q is not one like /unrole", prefix)
	}
	if prefix == "/healthz" {
		return "", errors.New("path prefix /healthz is taken by the health check")
	}
	return prefix, nil
}

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

// nameless is somebody without a name of their own.
func (c Config) nameless(name string) Person {
	if c.AllowActions {
		return Person{Name: name, Role: Approver}
	}
	return Person{Name: name, Role: Viewer}
}

// withPassword compares hashes, so that the time it takes tells nothing about the password.
func (c Config) withPassword(next http.Handler) http.Handler {
	wantUser, wantPassword := sha256.Sum256([]byte(User)), sha256.Sum256([]byte(c.Password))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, given, _ := r.BasicAuth()
		u, p := sha256.Sum256([]byte(user)), sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(u[:], wantUser[:])&subtle.ConstantTimeCompare(p[:], wantPassword[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="unrole", charset="UTF-8"`)
			http.Error(w, "user name and password, please", http.StatusUnauthorized)
			return
		}
		by := c.nameless(User)
		by.Shared = true
		next.ServeHTTP(w, With(r, by))
	})
}

func (c Config) loopbackOnly(next http.Handler) http.Handler {
	name := c.Local
	if name == "" {
		name = User
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !httpserve.IsLoopback(r.Host) {
			http.Error(w, "without a password the web UI answers on 127.0.0.1 and localhost only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, With(r, c.nameless(name)))
	})
}

// withHeaders keeps the pages out of frames of other sites, and ids out of the logs of sites that they link to.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
