// Package resolver looks up, in the worker that has the lead, whom and what jobs mean that were asked for by names, and submits what
// they come to.
package resolver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Lead says whether this worker is the one of the fleet that takes tasks. *worker.Worker is one.
type Lead interface {
	Held() bool
	// Number is that of the lead; ledger records obey the greatest one.
	Number() int64
}

// Config says what a resolver works with. All but Protected, Interval, MaxShare and Log is required.
type Config struct {
	Ledger *ledger.Ledger
	// Client submits what jobs mean.
	Client *enqueue.Client
	// Protected ids refuse a job whole, as they refuse a submission; nil protects nobody.
	Protected enqueue.ProtectedIDs
	// Directory is where people and roles are looked up; each batch of jobs reads it anew.
	Directory *directory.Directory
	Lead      Lead
	// MaxShare is that of preflight.Request. A job that takes a role from more of its holders waits for approval.
	MaxShare float64
	// Interval is how often it looks for jobs. Default 500 ms.
	Interval time.Duration
	// Trace, when set, begins a span for every job.
	Trace *trace.Tracer
	Log   zerolog.Logger
}

const (
	// mostWaiting is how many jobs are looked at in one turn, mostOfBatch how many of them make a batch, which reads who holds a role
	// once and by the end is as old as its beginning; mostBatches is how many batches are under way, atOnce how many jobs of a batch
	// side by side: what limits them is the pace of the lookups, which they share.
	mostWaiting = 1000
	mostOfBatch = 100
	mostBatches = 4
	atOnce      = 32
)

// Resolver looks up jobs. Run is to be called once.
type Resolver struct {
	cfg Config

	mu      sync.Mutex
	busy    map[string]bool // jobs of batches under way
	later   map[string]*failures
	batches chan struct{}
}

// failures are how often a job could not be looked up, and when it is tried again.
type failures struct {
	n     int
	until time.Time
}

// New checks the configuration.
func New(cfg Config) (*Resolver, error) {
	if cfg.Ledger == nil || cfg.Client == nil || cfg.Directory == nil || cfg.Lead == nil {
		return nil, errors.New("resolver: Ledger, Client, Directory and Lead are required")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 500 * time.Millisecond
	}
	return &Resolver{cfg: cfg, busy: map[string]bool{}, later: map[string]*failures{}, batches: make(chan struct{}, mostBatches)}, nil
}

// Run looks up jobs whenever this worker has the lead, until ctx ends. What is under way then is begun anew by whoever leads next.
func (r *Resolver) Run(ctx context.Context) {
	var under sync.WaitGroup
	defer under.Wait()
	for wait.For(ctx, r.cfg.Interval) == nil {
		if !r.cfg.Lead.Held() {
			continue
		}
		select {
		case r.batches <- struct{}{}:
		default:
			continue
		}
		batch, err := r.next(ctx)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn().Err(err).Msg("jobs whose people are to be looked up could not be listed; it is tried again")
		}
		if len(batch) == 0 {
			<-r.batches
			continue
		}
		under.Go(func() {
			defer func() { <-r.batches }()
			r.resolve(ctx, batch)
		})
	}
}

// next takes the jobs that wait and are not under way.
func (r *Resolver) next(ctx context.Context) ([]string, error) {
	ids, err := r.cfg.Ledger.Resolving(ctx, mostWaiting)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	listed := make(map[string]bool, len(ids))
	var batch []string
	for _, id := range ids {
		listed[id] = true
		if f := r.later[id]; len(batch) < mostOfBatch && !r.busy[id] && (f == nil || !time.Now().Before(f.until)) {
			r.busy[id] = true
			batch = append(batch, id)
		}
	}
	for id := range r.later {
		if !listed[id] {
			delete(r.later, id)
		}
	}
	return batch, nil
}

// resolve looks up a batch of jobs. All of them were asked for before anything is read for them.
func (r *Resolver) resolve(ctx context.Context, batch []string) {
	d := r.cfg.Directory.Fresh()
	places := make(chan struct{}, atOnce)
	var under sync.WaitGroup
	for _, id := range batch {
		places <- struct{}{}
		under.Go(func() {
			defer func() { <-places }()
			err := r.look(ctx, d, id)
			r.mu.Lock()
			defer r.mu.Unlock()
			delete(r.busy, id)
			if err == nil {
				delete(r.later, id)
			}
		})
	}
	under.Wait()
}

// look brings one job on, and notes where that failed.
func (r *Resolver) look(ctx context.Context, d *directory.Directory, id string) error {
	lead := r.cfg.Lead.Number()
	if lead == 0 || !r.cfg.Lead.Held() {
		return nil // the next one to lead has it
	}
	err := r.one(ctx, d, id, lead)
	switch {
	case err == nil, errors.Is(err, ledger.ErrStale), errors.Is(err, context.Canceled):
		return nil
	}
	after := r.postpone(id)
	r.cfg.Log.Warn().Err(err).Str("job", id).Dur("again_after", after).Msg("whom the job means could not be looked up; it is tried again")
	if err := r.cfg.Ledger.NoteAsked(ctx, id, why(err), lead); err != nil && ctx.Err() == nil {
		r.cfg.Log.Warn().Err(err).Str("job", id).Msg("why the job waits could not be noted")
	}
	return err
}

// why is an error as the record shows it.
func why(err error) string {
	var failed *dingtalk.Error
	if errors.As(err, &failed) {
		if hold := outcome.Of(failed.Class).Hold; hold != "" {
			return texts.T("DingTalk refuses to be asked (%v)", failed).String()
		}
		return texts.T("DingTalk could not be asked (%v)", failed).String()
	}
	return err.Error()
}

// postpone leaves a job alone for a while: 1 s after the first failure, twice as long after each further one, 30 s at most.
func (r *Resolver) postpone(id string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.later[id]
	if f == nil {
		f = &failures{}
		r.later[id] = f
	}
	f.n++
	after := min(time.Second<<min(f.n-1, 5), 30*time.Second)
	f.until = time.Now().Add(after)
	return after
}

// one brings one job on by this lead.
func (r *Resolver) one(ctx context.Context, d *directory.Directory, id string, lead int64) error {
	job, data, err := r.cfg.Ledger.TakeAsked(ctx, id, lead)
	var unknown *ledger.NotFoundError
	switch {
	case errors.As(err, &unknown):
		return r.cfg.Ledger.ResolvingGone(ctx, id)
	case err != nil:
		return err
	case data == nil:
		if err := r.cfg.Client.CompleteResolved(ctx, job); err != nil {
			return err
		}
		return r.cfg.Ledger.ResolvingDone(ctx, id)
	}
	request, err := asked.Decode(data)
	if err != nil {
		return err
	}
	ctx, span := r.cfg.Trace.LookUp(ctx, request.Trace, request.People())
	err = r.decide(ctx, d, job, request, lead)
	span.End(err != nil)
	if err != nil {
		return err
	}
	return r.cfg.Ledger.ResolvingDone(ctx, id)
}
