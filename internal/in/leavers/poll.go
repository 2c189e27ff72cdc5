package leavers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Source is the source of the jobs of leavers, and whoever submits, begins and cancels them in the audit.
const Source = "leavers"

const (
	lockKey = "unrole:{leavers}:lock"
	markKey = "unrole:{leavers}:seen"
	lockTTL = 15 * time.Second
	// FirstLook is how far back those who left are looked for when nobody has looked before; overlap is looked at again each
	// time, since a record may appear late.
	FirstLook = 30 * 24 * time.Hour
	overlap   = time.Hour
)

// Config is what a Poller works with; all but Protected and Now are required.
type Config struct {
	Redis  redis.UniversalClient
	Ledger *ledger.Ledger
	Client *enqueue.Client
	// Directory is where it looks; each look reads it anew.
	Directory *directory.Directory
	Protected enqueue.ProtectedIDs
	MaxShare  float64
	// File has the rule; it is read again before every look.
	File string
	// Trace, when set, begins a span for every job that is submitted.
	Trace *trace.Tracer
	Log   zerolog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Poller looks at who is leaving, again and again, and keeps their jobs as they have to be.
type Poller struct {
	cfg  Config
	rule Rule
	// failed counts the looks in a row that ended with an error; due are the times of the jobs that wait.
	failed int
	due    []time.Time
}

// New reads the rule. An error is one of the file.
func New(cfg Config) (*Poller, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Poller{cfg: cfg}
	return p, p.read()
}

func (p *Poller) read() error {
	data, err := os.ReadFile(p.cfg.File)
	if err != nil {
		return err
	}
	rule, err := ParseRule(data)
	if err != nil {
		return fmt.Errorf("%s: %w", p.cfg.File, err)
	}
	p.rule = rule
	return nil
}

// Run looks until ctx ends. One process of the fleet does; the others wait for it to vanish. A look ends where the lease does; what two
// could do at once, whoever holds it, the ledger lets one of them do.
func (p *Poller) Run(ctx context.Context) {
	lock := lease.New(p.cfg.Redis, lockKey, lockTTL)
	defer func() { lock.End(context.WithoutCancel(ctx)) }()
	var next time.Time
	for ctx.Err() == nil {
		mine, err := lock.During(ctx, func(holding context.Context) {
			if p.cfg.Now().Before(next) {
				return
			}
			var err error
			if next, err = p.Look(holding); err != nil && ctx.Err() == nil {
				p.cfg.Log.Error().Err(err).Msg("leavers could not be looked at; their jobs wait")
			}
		})
		switch {
		case err != nil:
			p.cfg.Log.Error().Err(err).Msg("nobody looks for leavers while Redis is away")
		case !mine:
			next = time.Time{}
		}
		wait.For(ctx, lockTTL/3)
	}
}

// again is how soon it is looked again after an error.
var again = wait.Backoff{First: 5 * time.Second, Most: time.Minute}

// Look looks once and returns when to look again: after an error soon, and never later than the next job is due. What was done before
// an error stays, and the next look does the rest.
func (p *Poller) Look(ctx context.Context) (next time.Time, err error) {
	began := p.cfg.Now()
	err = p.look(ctx, began)
	now := p.cfg.Now()
	next = began.Add(p.rule.Every)
	if err == nil {
		p.failed = 0
	} else {
		p.failed++
		next = earlier(next, now.Add(again.After(p.failed)))
	}
	for _, due := range p.due {
		if due.After(now) {
			next = earlier(next, due)
		}
	}
	return next, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// look does for each leaver what is to be done; one of whom it fails keeps the others from nothing.
func (p *Poller) look(ctx context.Context, began time.Time) error {
	if err := p.read(); err != nil {
		p.cfg.Log.Error().Err(err).Msg("the rule for leavers cannot be read: the one from before stays")
	}
	jobs, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	p.due = nil
	for _, w := range jobs {
		p.due = append(p.due, *w.job.At)
	}
	since, err := p.since(ctx, began)
	if err != nil {
		return err
	}
	d := p.cfg.Directory.Fresh()
	people, err := Look(ctx, d, since, began)
	if err != nil {
		return err
	}
	if people, err = withThose(ctx, d, people, jobs); err != nil {
		return err
	}
	jobs, keepErr := p.keep(ctx, people, jobs)
	// What is due comes first: nothing that is wrong with somebody new keeps it waiting.
	beginErr := p.begin(ctx, jobs)
	added, addErr := p.add(ctx, d, people, jobs)
	for _, w := range added {
		p.due = append(p.due, *w.job.At)
	}
	if err := errors.Join(keepErr, beginErr, addErr, p.begin(ctx, added)); err != nil {
		return err
	}
	return p.cfg.Redis.Set(ctx, markKey, began.UTC().Format(time.RFC3339), 0).Err()
}

// since is from when on those who left are looked for.
func (p *Poller) since(ctx context.Context, now time.Time) (time.Time, error) {
	since := now.Add(-FirstLook)
	text, err := p.cfg.Redis.Get(ctx, markKey).Result()
	if errors.Is(err, redis.Nil) {
		return since, nil
	}
	if mark, perr := time.Parse(time.RFC3339, text); perr == nil && mark.Add(-overlap).After(since) {
		since = mark.Add(-overlap)
	}
	return since, err
}

// waits is a job that has not begun, and of whom it is.
type waits struct {
	job   ledger.Job
	user  string
	roles map[int64]bool
}

// waiting lists the jobs of leavers that have not begun.
func (p *Poller) waiting(ctx context.Context) ([]waits, error) {
	var jobs []waits
	for look, err := range p.cfg.Ledger.Find(ctx, ledger.Filter{States: []ledger.State{ledger.StateScheduled}, Sources: []string{Source}}, "") {
		if err != nil {
			return nil, err
		}
		if !look.Found || look.Job.Awaiting == "" || look.Job.At == nil || !own(look.Job) {
			continue
		}
		w, err := p.pairsOf(ctx, look.Job)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, w)
	}
	return jobs, nil
}

// own says that a job is one of a poller's, and not somebody else's of the same source.
func own(job ledger.Job) bool {
	return job.SubmittedBy == Source && job.LastLook && strings.HasPrefix(job.JobID, prefix)
}

func (p *Poller) pairsOf(ctx context.Context, job ledger.Job) (waits, error) {
	w := waits{job: job, roles: map[int64]bool{}}
	err := p.cfg.Ledger.Rows(ctx, job.JobID, func(r ledger.Row) error {
		w.user, w.roles[r.RoleID] = r.UserID, true
		return nil
	})
	return w, err
}

// withThose looks also at the people of jobs who are no leavers any more, or left long ago.
func withThose(ctx context.Context, d *directory.Directory, people []Leaver, jobs []waits) ([]Leaver, error) {
	var missing []string
	for _, w := range jobs {
		if !slices.ContainsFunc(people, func(l Leaver) bool { return l.UserID == w.user }) {
			missing = append(missing, w.user)
		}
	}
	more, err := each(ctx, d, missing, nil)
	return append(people, more...), err
}

// keep cancels the jobs that do not stand any more, and returns the others.
func (p *Poller) keep(ctx context.Context, people []Leaver, jobs []waits) ([]waits, error) {
	var kept []waits
	var failed []error
	for _, w := range jobs {
		why := p.whyNot(people, w)
		if why == "" {
			kept = append(kept, w)
			continue
		}
		if _, err := p.cancel(ctx, w.job.JobID, why); err != nil {
			failed = append(failed, err)
		}
	}
	return kept, errors.Join(failed...)
}

// whyNot says why a job does not stand; "" is that it does.
func (p *Poller) whyNot(people []Leaver, w waits) string {
	at := slices.IndexFunc(people, func(l Leaver) bool { return l.UserID == w.user })
	if at < 0 {
		return "stays"
	}
	l := people[at]
	unapproved := ""
	if !p.rule.Automatic && w.job.Awaiting == ledger.AwaitingLastLook && w.job.ApprovedAt == nil {
		unapproved = "by the rule somebody has to approve it"
	}
	if l.Hidden && l.Stage != Staying || l.Stage == Left && l.LastDay.IsZero() {
		return unapproved // nobody can tell, or knows the day any more: that of the job stands
	}
	v := p.rule.Judge(l)
	switch {
	case !v.Act:
		return v.Why.String()
	case p.rule.JobID(l.UserID, l.LastDay) != baseOf(w.job.JobID):
		return "the last working day is another: " + p.rule.Day(l.LastDay).Format(time.DateOnly)
	case !v.Due.Equal(*w.job.At):
		return "by the rule it is due at another time: " + v.Due.Format(time.RFC3339)
	}
	return unapproved
}

// cancel says whether it was this call that cancelled the job.
func (p *Poller) cancel(ctx context.Context, jobID, why string) (first bool, err error) {
	_, first, err = p.cfg.Ledger.CancelFirst(ctx, jobID, Source, why)
	var finished *ledger.FinishedError
	if errors.As(err, &finished) {
		return false, nil
	}
	if first && err == nil {
		p.cfg.Log.Info().Str("job", jobID).Str("why", why).Msg("a leaver's job was cancelled")
	}
	return first, err
}
