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
	Redis     redis.UniversalClient
	Ledger    *ledger.Ledger
	Client    *enqueue.Client
	Source    directory.Source
	Protected enqueue.ProtectedIDs
	// QPS is the pace of looking up, in calls a second to each API.
	QPS      float64
	MaxShare float64
	// File has the rule; it is read again before every look.
	File string
	Log  zerolog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Poller looks at who is leaving, again and again, and keeps their jobs as they have to be.
type Poller struct {
	cfg  Config
	rule Rule
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

// Look looks once and returns when to look again. After an error what was done stays, and the next look does the rest.
func (p *Poller) Look(ctx context.Context) (next time.Time, err error) {
	began := p.cfg.Now()
	next = began.Add(p.rule.Every)
	if err := p.read(); err != nil {
		p.cfg.Log.Error().Err(err).Msg("the rule for leavers cannot be read: the one from before stays")
	}
	since, err := p.since(ctx, began)
	if err != nil {
		return next, err
	}
	d, err := directory.New(p.cfg.Source, p.cfg.QPS)
	if err != nil {
		return next, err
	}
	people, err := Look(ctx, d, since, began)
	if err != nil {
		return next, err
	}
	jobs, err := p.waiting(ctx)
	if err != nil {
		return next, err
	}
	if people, err = withThose(ctx, d, people, jobs); err != nil {
		return next, err
	}
	if jobs, err = p.keep(ctx, people, jobs); err != nil {
		return next, err
	}
	added, err := p.add(ctx, d, people)
	if err != nil {
		return next, err
	}
	jobs = append(jobs, added...)
	due := slices.DeleteFunc(slices.Clone(jobs), func(w waits) bool {
		return w.job.Awaiting != ledger.AwaitingLastLook || w.job.At.After(p.cfg.Now())
	})
	if err := p.begin(ctx, due); err != nil {
		return next, err
	}
	for _, w := range jobs {
		if w.job.At.After(p.cfg.Now()) && w.job.At.Before(next) {
			next = *w.job.At
		}
	}
	return next, p.cfg.Redis.Set(ctx, markKey, began.UTC().Format(time.RFC3339), 0).Err()
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
	job    ledger.Job
	user   string
	digest string
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
	w := waits{job: job}
	pairs := &enqueue.Removals{}
	err := p.cfg.Ledger.Rows(ctx, job.JobID, func(r ledger.Row) error {
		w.user = r.UserID
		pairs.Add(r.UserID, r.RoleID)
		return nil
	})
	w.digest = pairs.Digest()
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
	more, err := again(ctx, d, missing, nil)
	return append(people, more...), err
}

// keep cancels the jobs that do not stand any more, and returns the others.
func (p *Poller) keep(ctx context.Context, people []Leaver, jobs []waits) ([]waits, error) {
	var kept []waits
	for _, w := range jobs {
		why := p.whyNot(people, w)
		if why == "" {
			kept = append(kept, w)
			continue
		}
		if _, err := p.cancel(ctx, w.job.JobID, why); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// whyNot says why a job does not stand; "" is that it does.
func (p *Poller) whyNot(people []Leaver, w waits) string {
	at := slices.IndexFunc(people, func(l Leaver) bool { return l.UserID == w.user })
	if at < 0 {
		return "stays"
	}
	l := people[at]
	if l.Hidden && l.Stage != Staying || l.Stage == Left && l.LastDay.IsZero() {
		return "" // nobody can tell, or knows the day any more: that of the job stands
	}
	v := p.rule.Judge(l)
	switch {
	case !v.Act:
		return v.Why.String()
	case p.rule.JobID(l.UserID, l.LastDay) != baseOf(w.job.JobID):
		return "the last working day is another: " + p.rule.Day(l.LastDay).Format(time.DateOnly)
	case !v.Due.Equal(*w.job.At):
		return "by the rule it is due at another time: " + v.Due.Format(time.RFC3339)
	case !p.rule.Automatic && w.job.Awaiting == ledger.AwaitingLastLook && w.job.ApprovedAt == nil:
		return "by the rule somebody has to approve it"
	}
	return ""
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

// add submits jobs for leavers who have none.
func (p *Poller) add(ctx context.Context, d *directory.Directory, people []Leaver) ([]waits, error) {
	var fresh []Leaver
	ids := map[string]string{}
	for _, l := range people {
		v := p.rule.Judge(l)
		if !v.Act || l.Present && len(l.Roles) == 0 {
			continue
		}
		id, err := p.free(ctx, p.rule.JobID(l.UserID, l.LastDay))
		if err != nil {
			return nil, err
		}
		if id != "" {
			fresh, ids[l.UserID] = append(fresh, l), id
		}
	}
	if len(fresh) == 0 {
		return nil, nil
	}
	all, shares, err := held(ctx, d, fresh, p.rule.Keep, p.cfg.MaxShare, p.cfg.Protected)
	if err != nil {
		return nil, err
	}
	propose := !p.rule.Automatic || shares || len(all) > p.rule.MaxUsers
	if propose && p.rule.Automatic {
		p.cfg.Log.Warn().Int("people", len(all)).Bool("large_share", shares).Msg("more leavers at once than the rule lets through, or more of a role's holders than UNROLE_MAX_SHARE: somebody has to approve their jobs")
	}
	var added []waits
	for _, l := range fresh {
		h, holds := all[l.UserID]
		if !holds {
			continue
		}
		w, err := p.submit(ctx, ids[l.UserID], l, h, propose)
		if err != nil {
			return nil, err
		}
		added = append(added, w)
	}
	return added, nil
}

func (p *Poller) submit(ctx context.Context, id string, l Leaver, h Held, propose bool) (waits, error) {
	day := p.rule.Day(l.LastDay).Format(time.DateOnly)
	done, err := p.cfg.Client.Submit(ctx, enqueue.Submission{Removals: h.Removals, Snapshot: h.Snapshot, JobID: id, Source: Source, SubmittedBy: Source,
		Reason: "last working day " + day + ", by DingTalk's HR", At: p.rule.Due(l.LastDay), AwaitApproval: propose, LastLook: true})
	if err != nil {
		return waits{}, err
	}
	p.cfg.Log.Info().Str("job", id).Bool("proposed", propose).Time("at", p.rule.Due(l.LastDay)).Msg("a leaver's job was submitted")
	return waits{job: done.Job, user: l.UserID, digest: h.Removals.Digest()}, nil
}

// free is the id under which a leaver's job is to be submitted; "" where there is one already, or somebody cancelled it.
func (p *Poller) free(ctx context.Context, base string) (string, error) {
	for n := 1; ; n++ {
		job, err := p.cfg.Ledger.Get(ctx, generation(base, n))
		var unknown *ledger.NotFoundError
		if errors.As(err, &unknown) {
			return generation(base, n), nil
		}
		if err != nil {
			return "", err
		}
		if job.State == ledger.StateSubmitting && job.Planning {
			return job.JobID, nil // interrupted: the same submission completes it
		}
		if job.State != ledger.StateCancelled || job.CancelledBy != Source {
			return "", nil
		}
	}
}
