// Package console is the web pages for people who do not read queues: what became of removals, what needs somebody, and
// what can be done about it.
package console

import (
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/deadletter"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/run/signin"
)

// Config says what the pages show. Redis, Ledger and Pacer are required.
type Config struct {
	Redis  redis.UniversalClient
	Ledger *ledger.Ledger
	Pacer  *pace.Pacer
	// Prefix is the path that the pages live under, as signin.CleanPrefix returns it.
	Prefix string
	// Ending, when closed, ends the pages that are told of changes for as long as somebody looks; nil never does.
	Ending <-chan struct{}
	// Protected users and roles refuse a list whole; nil protects nobody.
	Protected enqueue.ProtectedIDs
	// Retention is how long the record of a finished job is kept; 0 means 30 days.
	Retention time.Duration
	// ApproveAbove is how many users a removal may concern without the approval of another person, MaxUsersPerDay how many
	// one person may submit here in 24 hours without it; 0 is any number.
	ApproveAbove, MaxUsersPerDay int
	// Directory opens DingTalk's directory, to look up who is meant and who holds what before anything is submitted; nil where
	// it cannot be asked: then only ids are taken.
	Directory func() (*directory.Directory, error)
	// Preflight is that of the configuration, MaxShare the share of a role's holders above which a removal needs somebody's
	// word; 0 is the usual one.
	Preflight string
	MaxShare  float64
	// Simulated says that the workers call a simulator.
	Simulated bool
	// Version names this build in reports.
	Version string
	// Trace, when set, begins a span for everything that is done here.
	Trace *trace.Tracer
	Log   zerolog.Logger
}

// Console serves the pages.
type Console struct {
	http.Handler

	cfg     Config
	client  *enqueue.Client
	ledger  *ledger.Ledger
	letters *deadletter.Queue
	fleet   *fleet.Reader
	catalog *catalog
	// reads are the lists that are being read just now.
	reads chan struct{}
	looks looks
	names *names
}

//go:embed static
var static embed.FS

// New returns the handler of the pages, to be put behind the guard of package signin.
func New(c Config) (*Console, error) {
	if c.Redis == nil || c.Ledger == nil || c.Pacer == nil {
		return nil, errors.New("console: Redis, Ledger and Pacer are required")
	}
	con := &Console{cfg: c, ledger: c.Ledger, letters: deadletter.New(c.Redis, c.Ledger), fleet: fleet.NewReader(c.Redis, c.Ledger),
		catalog: newCatalog(c.Ledger, c.Ending), names: newNames(c.Directory), reads: make(chan struct{}, readsAtOnce), looks: looks{of: map[string]*look{}, slots: make(chan struct{}, LooksAtOnce)}}
	var err error
	if con.client, err = enqueue.NewClient(enqueue.Config{Redis: c.Redis, Protected: c.Protected, Retention: c.Retention}); err != nil {
		return nil, err
	}
	files, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", con.page(con.jobsPage))
	mux.HandleFunc("GET /jobs/{id}", con.page(con.jobPage))
	mux.HandleFunc("GET /jobs/{id}/progress", con.progress)
	mux.HandleFunc("GET /jobs/{id}/names", con.page(con.jobNames))
	mux.HandleFunc("GET /jobs/{id}/report/{file}", con.within(reportLasts, con.report))
	mux.HandleFunc("GET /removals/new", con.page(con.newPage))
	mux.HandleFunc("POST /removals/new", con.page(con.operators(con.take)))
	mux.HandleFunc("GET /removals/{id}", con.page(con.operators(con.previewPage)))
	mux.HandleFunc("GET /removals/{id}/wrong-rows.csv", con.page(con.operators(con.rowsToCorrect("wrong-rows", fileWrong))))
	mux.HandleFunc("GET /removals/{id}/unresolved-rows.csv", con.page(con.operators(con.rowsToCorrect("unresolved-rows", fileUnresolved))))
	mux.HandleFunc("GET /removals/{id}/looked", con.page(con.operators(con.looked)))
	mux.HandleFunc("POST /removals/{id}/again", con.act(signin.Operator, con.again))
	mux.HandleFunc("POST /removals/{id}/choose", con.act(signin.Operator, con.choose))
	mux.HandleFunc("POST /removals/{id}", con.act(signin.Operator, con.confirm))
	mux.HandleFunc("POST /jobs/{id}/cancel", con.act(signin.Operator, con.cancel))
	mux.HandleFunc("GET /jobs/{id}/restore", con.page(con.operators(con.restorePage)))
	mux.HandleFunc("POST /jobs/{id}/restore", con.act(signin.Operator, con.restore))
	mux.HandleFunc("POST /jobs/{id}/approve", con.act(signin.Approver, con.approve))
	mux.HandleFunc("POST /jobs/{id}/retry", con.act(signin.Operator, con.retry))
	mux.HandleFunc("POST /jobs/{id}/discard", con.act(signin.Operator, con.discard))
	mux.HandleFunc("POST /letters/retry", con.act(signin.Operator, con.retry))
	mux.HandleFunc("POST /letters/discard", con.act(signin.Operator, con.discard))
	mux.HandleFunc("POST /letters/correct", con.act(signin.Operator, con.correct))
	mux.HandleFunc("GET /letters", con.page(con.lettersPage))
	mux.HandleFunc("GET /fleet", con.page(con.fleetPage))
	mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(files))))
	mux.HandleFunc("/", con.page(func(*visit) error { return errNoPage }))
	if c.Ending != nil {
		go con.catalog.warm()
	}
	con.Handler = withPolicy(http.StripPrefix(c.Prefix, mux))
	return con, nil
}

// policy lets a page have nothing but its own style, script and pictures.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func withPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-store") // names of people
		next.ServeHTTP(w, r)
	})
}

// cached lets browsers keep what every page has; its address changes with the build.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=86400")
		next.ServeHTTP(w, r)
	})
}

// SignIn shows the sign-in form; package signin asks for it.
func (c *Console) SignIn(w http.ResponseWriter, r *http.Request, f signin.Form, status int) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cache-Control", "no-store")
	v := c.visit(w, r)
	v.Page, v.Title = f, texts.T("Sign in")
	if err := v.show("signin.html", status); err != nil {
		c.fail(v, err)
	}
}
