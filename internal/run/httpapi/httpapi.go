// Package httpapi is the HTTP intake: HR systems and scripts submit removals to it and ask what became of them.
//
// The addresses and their bodies are in openapi.yaml, which the intake serves itself; docs/api.md is for people.
package httpapi

import (
	"context"
	_ "embed"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/adapter"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/record/hooks"
	"github.com/unrole/unrole/internal/record/ledger"
)

// OpenAPI is the description of the intake, an OpenAPI 3.1 document.
//
//go:embed openapi.yaml
var OpenAPI []byte

// MaxPairs is the most pairs of one request.
const MaxPairs = 1_000_000

// Submitter stores removals for the workers. *enqueue.Client is one.
type Submitter interface {
	Submit(ctx context.Context, s enqueue.Submission) (enqueue.Submitted, error)
}

// Config says what an intake works with. Submitter, Asked, Ledger and Redis are required.
type Config struct {
	// Submitter is where removals go.
	Submitter Submitter
	// Asked is where those go that name people and roles otherwise than by id.
	Asked  *asked.Client
	Ledger *ledger.Ledger
	Redis  redis.UniversalClient
	// Keys says who may call. nil lets everybody in who reaches the intake under a name of this machine itself; it must
	// listen on loopback only then, see Loopback.
	Keys *Keys
	// Adapters are the HR systems that send messages of their own, by name; each proves itself, whoever Keys lets in.
	Adapters map[string]*adapter.Adapter
	// Heard, when set, is told of every message to an adapter, with one of HookResults.
	Heard func(adapter, result string)
	// Protected users and roles refuse a request whole; nil protects nobody.
	Protected enqueue.ProtectedIDs
	// MaxUsers is the most distinct users of one request; more are refused. Default enqueue.DefaultMaxUsers.
	MaxUsers int
	// MaxUsersPerDay is the most distinct users that one source submits in 24 hours; jobs above it wait for approval.
	// 0 is no limit.
	MaxUsersPerDay int
	// Preflight has workers look up who holds what of every request that says nothing of it itself.
	Preflight bool
	// MaxBody is the largest body in bytes. Default 8 MiB.
	MaxBody int64
	// Rate is how many requests a second each caller may make on average, and twice as many at once. Default 300.
	Rate float64
	// StoreTimeout is how long a request waits for Redis before it is answered with 503. Default 10 s.
	StoreTimeout time.Duration
	// Trace, when set, begins a span for every request.
	Trace *trace.Tracer
	Log   zerolog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.Submitter == nil || c.Asked == nil || c.Ledger == nil || c.Redis == nil {
		return c, errors.New("httpapi: Submitter, Asked, Ledger and Redis are required")
	}
	d := defaults.Of("httpapi")
	defaults.Fill(d, "MaxUsers", &c.MaxUsers, enqueue.DefaultMaxUsers)
	defaults.Fill(d, "MaxUsersPerDay", &c.MaxUsersPerDay, 0)
	defaults.Fill(d, "MaxBody", &c.MaxBody, 8<<20)
	defaults.Fill(d, "Rate", &c.Rate, 300)
	defaults.Fill(d, "StoreTimeout", &c.StoreTimeout, 10*time.Second)
	return c, d.Err()
}

const (
	// maxWorking bounds the requests that are decoded and stored at the same moment, and with them the memory that this takes;
	// others wait their turn, with their bodies read.
	maxWorking = 64
	// maxUnproved bounds the signed bodies that are read, inflated and checked at the same moment: whose they are shows only
	// afterwards, so anybody can send one. Others are told to come again.
	maxUnproved = 8
)

// API answers the requests. It is safe for concurrent use.
type API struct {
	cfg      Config
	hooks    *hooks.Memory
	mux      *http.ServeMux
	working  chan struct{}
	unproved chan struct{}

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by caller
}

// New checks the configuration.
func New(cfg Config) (*API, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkAdapters(cfg.Adapters); err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, hooks: hooks.New(cfg.Redis, cfg.Ledger), mux: http.NewServeMux(), working: make(chan struct{}, maxWorking), unproved: make(chan struct{}, maxUnproved),
		limiters: map[string]*rate.Limiter{}}
	a.handle("/v1/removals", map[string]endpoint{http.MethodGet: a.list, http.MethodPost: a.submit})
	a.handle("/v1/removals/{job_id}", map[string]endpoint{http.MethodGet: a.job, http.MethodDelete: a.cancel})
	a.handle("/v1/removals/{job_id}/report", map[string]endpoint{http.MethodGet: a.report})
	a.handle("/v1/removals/{job_id}/restore", map[string]endpoint{http.MethodPost: a.restore})
	a.handle("/v1/cancellations", map[string]endpoint{http.MethodPost: a.cancelUsers})
	a.handle("/v1/hooks/{name}", map[string]endpoint{http.MethodPost: a.hook})
	a.handle("/openapi.yaml", map[string]endpoint{http.MethodGet: a.openAPI})
	a.mux.Handle("/", a.endpoint(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusNotFound, "not-found", "there is nothing at this address; /openapi.yaml lists what there is")
	}))
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// endpoint answers one request, or returns a *problem to be written as the answer.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// handle registers the methods of an address; HEAD goes with GET.
func (a *API) handle(path string, methods map[string]endpoint) {
	names := slices.Sorted(maps.Keys(methods))
	if methods[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	allowed := strings.Join(names, ", ")
	a.mux.Handle(path, a.endpoint(func(w http.ResponseWriter, r *http.Request) error {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if e := methods[method]; e != nil {
			return e(w, r)
		}
		return newProblem(http.StatusMethodNotAllowed, "method-not-allowed", "this address takes %s", allowed).with("Allow", allowed)
	}))
}

// endpoint writes what the endpoint returns, and logs the request without anything secret.
func (a *API) endpoint(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		ctx, span := a.cfg.Trace.Request(r.Context(), r.Method, r.Pattern, r.Header.Get("Traceparent"))
		if span != nil {
			r = r.WithContext(ctx) // makes a copy
			defer func() { span.Answered(seen.status) }()
		}
		err := e(seen, r)
		var p *problem
		switch {
		case err == nil:
		case errors.As(err, &p):
			p.write(seen)
		case seen.written:
			// The answer is under way; only a broken connection tells the client that it is not whole.
			a.cfg.Log.Error().Err(err).Str("path", r.URL.Path).Msg("the answer could not be completed")
			panic(http.ErrAbortHandler)
		default:
			a.cfg.Log.Error().Err(err).Str("path", r.URL.Path).Msg("the request could not be served")
			newProblem(http.StatusServiceUnavailable, "unavailable",
				"Redis could not be asked in time; the same request again is safe").after(retryWhenAway).write(seen)
		}
		a.cfg.Log.Info().Str("method", r.Method).Str("path", r.URL.Path).Int("status", seen.status).
			Str("caller", seen.caller).Dur("took", time.Since(began)).Msg("request")
	})
}

// retryWhenAway is when a client should come back that met an absent Redis.
const retryWhenAway = 5 * time.Second

// watched remembers what the log wants to know.
type watched struct {
	http.ResponseWriter
	status  int
	written bool
	caller  string
}

func (w *watched) WriteHeader(status int) {
	w.status, w.written = status, true
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	w.written = true
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limit takes one request from what the caller may make.
func (a *API) limit(caller string) *problem {
	a.mu.Lock()
	l := a.limiters[caller]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(a.cfg.Rate), max(1, int(2*a.cfg.Rate)))
		a.limiters[caller] = l
	}
	a.mu.Unlock()
	r := l.Reserve()
	if d := r.Delay(); d > 0 {
		r.Cancel()
		return newProblem(http.StatusTooManyRequests, "too-many-requests", "%s may make %g requests a second; put more users into one request", caller, a.cfg.Rate).after(d)
	}
	return nil
}
