// Package resolver looks up, in the worker that has the lead, whom and what jobs mean that were asked for by names, and submits what
// they come to.
package resolver

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/outcome"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// Lead says whether this worker is the one of the fleet that takes tasks. *worker.Worker is one.
type Lead interface {
	Held() bool
	// Fence goes with what is written in its name, and Replaced tells it of a write that was refused since Redis is another server.
	Fence() lease.Fence
	Replaced(lease.Fence)
}

// Config says what a resolver works with. All but Protected, Interval, MaxShare and Log is required.
type Config struct {
	Redis  redis.UniversalClient
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
	// Interval is how often it looks for jobs. Default a second.
	Interval time.Duration
	// Trace, when set, begins a span for every job.
	Trace *trace.Tracer
	Log   zerolog.Logger
}

const (
	// mostWaiting is how many jobs of a lane are looked at in one turn, mostOfBatch how many of them make a batch, which reads who holds
	// a role once and by the end is as old as its beginning; mostBatches is how many batches of a lane are under way, atOnce how many jobs
	// of a batch side by side: what limits them is the pace of the lookups, which they share, the most urgent lane first.
	mostWaiting = 1000
	mostOfBatch = 100
	mostBatches = 4
	atOnce      = 32
)

// Resolver looks up jobs. Run is to be called once.
type Resolver struct {
	cfg   Config
	asynq *asynq.Client

	mu    sync.Mutex
	busy  map[string]bool // jobs of batches under way
	later map[string]*failures
}

// failures are how often a job of a lane could not be looked up, and when it is tried again.
type failures struct {
	lane  string
	n     int
	until time.Time
}

// New checks the configuration.
func New(cfg Config) (*Resolver, error) {
	if cfg.Redis == nil || cfg.Ledger == nil || cfg.Client == nil || cfg.Directory == nil || cfg.Lead == nil {
		return nil, errors.New("resolver: Redis, Ledger, Client, Directory and Lead are required")
	}
	if cfg.Interval <= 0 {
		cfg.Interval = time.Second
	}
	return &Resolver{cfg: cfg, asynq: asynq.NewClientFromRedisClient(cfg.Redis), busy: map[string]bool{}, later: map[string]*failures{}}, nil
}

// Run looks up jobs whenever this worker has the lead, until ctx ends. What is under way then is begun anew by whoever leads next.
func (r *Resolver) Run(ctx context.Context) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	var looks []chan struct{}
	for _, lane := range tasks.Lanes() {
		look := make(chan struct{}, 1)
		looks = append(looks, look)
		lanes.Go(func() { r.serve(ctx, lane, look) })
	}
	for wait.For(ctx, r.cfg.Interval) == nil {
		if !r.cfg.Lead.Held() || !r.cfg.Ledger.AnyResolving(ctx) {
			continue
		}
		for _, look := range looks {
			select {
			case look <- struct{}{}:
			default:
			}
		}
	}
}

// serve looks up the jobs of a lane, batch by batch, whenever it is told to look for some.
func (r *Resolver) serve(ctx context.Context, lane string, look <-chan struct{}) {
	batches := make(chan struct{}, mostBatches)
	var under sync.WaitGroup
	defer under.Wait()
	for {
		select {
		case <-look:
		case <-ctx.Done():
			return
		}
		select {
		case batches <- struct{}{}:
		default:
			continue
		}
		batch, err := r.next(ctx, lane)
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn().Err(err).Msg("jobs whose people are to be looked up could not be listed; it is tried again")
		}
		if len(batch) == 0 {
			<-batches
			continue
		}
		under.Go(func() {
			defer func() { <-batches }()
			r.resolve(ctx, lane, batch)
		})
	}
}

// next takes the jobs of a lane that wait and are not under way.
func (r *Resolver) next(ctx context.Context, lane string) ([]string, error) {
	ids, err := r.cfg.Ledger.Resolving(ctx, lane, mostWaiting)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var batch []string
	for _, id := range ids {
		if f := r.later[id]; len(batch) < mostOfBatch && !r.busy[id] && (f == nil || !time.Now().Before(f.until)) {
			r.busy[id] = true
			batch = append(batch, id)
		}
	}
	listed := slices.Sorted(slices.Values(ids))
	for id, f := range r.later {
		if _, still := slices.BinarySearch(listed, id); f.lane == lane && !still {
			delete(r.later, id)
		}
	}
	return batch, nil
}

// resolve looks up a batch of jobs. All of them were asked for before anything is read for them.
func (r *Resolver) resolve(ctx context.Context, lane string, batch []string) {
	d := r.cfg.Directory.Fresh().In(lane)
	places := make(chan struct{}, atOnce)
	var under sync.WaitGroup
	for _, id := range batch {
		places <- struct{}{}
		under.Go(func() {
			defer func() { <-places }()
			err := r.look(ctx, d, lane, id)
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
func (r *Resolver) look(ctx context.Context, d *directory.Directory, lane, id string) error {
	lead := r.cfg.Lead.Fence()
	if lead == "" || !r.cfg.Lead.Held() {
		return nil // the next one to lead has it
	}
	err := r.one(ctx, d, lane, id, lead)
	switch {
	case errors.Is(err, ledger.ErrReplaced):
		r.cfg.Lead.Replaced(lead)
		return nil
	case err == nil, errors.Is(err, ledger.ErrStale), errors.Is(err, context.Canceled):
		return nil
	}
	after := r.postpone(lane, id)
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
func (r *Resolver) postpone(lane, id string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.later[id]
	if f == nil {
		f = &failures{lane: lane}
		r.later[id] = f
	}
	f.n++
	after := min(time.Second<<min(f.n-1, 5), 30*time.Second)
	f.until = time.Now().Add(after)
	return after
}

// one brings one job on by this lead.
func (r *Resolver) one(ctx context.Context, d *directory.Directory, lane, id string, lead lease.Fence) error {
	job, data, err := r.cfg.Ledger.TakeAsked(ctx, id, lead)
	var unknown *ledger.NotFoundError
	switch {
	case errors.As(err, &unknown):
		return r.cfg.Ledger.ResolvingGone(ctx, lane, id)
	case err != nil:
		return err
	case data == nil:
		// A worker that ended may not have enqueued all of it.
		if !job.State.Finished() && !job.Planning {
			if _, err := producer.Repair(ctx, r.cfg.Ledger, r.cfg.Redis, r.asynq, job); err != nil {
				return err
			}
		}
		return r.cfg.Ledger.ResolvingDone(ctx, lane, id)
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
	return r.cfg.Ledger.ResolvingDone(ctx, lane, id)
}
