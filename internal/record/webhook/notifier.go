package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/record/ledger"
)

const (
	// TypeFinished is the asynq type of a message that waits for its delivery, and Queue where it waits.
	TypeFinished = "job:finished"
	Queue        = "webhook"
	// EventFinished is the type field of the message.
	EventFinished = "job.finished"

	sinceKey = "unrole:webhook:since"
	turnKey  = "unrole:webhook:turn"
)

// Config says whom to tell. Redis, Ledger, URL and Secrets are required.
type Config struct {
	Redis  redis.UniversalClient
	Ledger *ledger.Ledger
	// Gate is what the deliveries' commands wait in while Redis refuses; nil means one of their own.
	Gate *redisconn.Gate
	// URL is the only address that messages go to.
	URL string
	// Secrets sign each message, as Sign does.
	Secrets []Secret
	// Interval is how often one process of the fleet looks for jobs that ended. Default 1 s.
	Interval time.Duration
	// FullInterval is how often it looks at every open job instead of those that it knows: a job that ended long ago opens
	// again when its dead letters are replayed. Default 20 s; below a minute, since ended jobs are not among them for longer.
	FullInterval time.Duration
	// Backoff lists the waits before the second, third, … attempt to deliver. Default DefaultBackoff.
	Backoff []time.Duration
	// Transport carries the messages; nil is the network.
	Transport http.RoundTripper
	// UserAgent names this build to the other side.
	UserAgent string
	Log       zerolog.Logger
}

// DefaultBackoff is a day in ten retries: most receivers that are down are back soon, the others the next morning.
var DefaultBackoff = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 8 * time.Hour}

// Notifier tells an address when jobs end. Each end becomes a task in Redis before it is marked as told, so it is told
// at least once, whatever crashes; a repeated message has the same webhook-id. Any number of processes may run one.
type Notifier struct {
	cfg    Config
	client *asynq.Client
	http   *http.Client
	log    zerolog.Logger

	open   map[string]struct{} // jobs that have not ended, as far as this process knows
	newest time.Time           // jobs created before are known
	full   time.Time           // the last look at every open job
}

// New checks the configuration. Nothing happens before Run.
func New(cfg Config) (*Notifier, error) {
	if cfg.Redis == nil || cfg.Ledger == nil {
		return nil, errors.New("webhook: Redis and Ledger are required")
	}
	if len(cfg.Secrets) == 0 {
		return nil, errors.New("webhook: a secret is required: nobody could tell who sent the messages")
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("webhook: the address is not an http or https URL")
	}
	d := defaults.Of("webhook")
	defaults.Fill(d, "Interval", &cfg.Interval, time.Second)
	defaults.Fill(d, "FullInterval", &cfg.FullInterval, 20*time.Second)
	if err := d.Err(); err != nil {
		return nil, err
	}
	if cfg.Backoff == nil {
		cfg.Backoff = DefaultBackoff
	}
	if cfg.Gate == nil {
		cfg.Gate = redisconn.NewGate(cfg.Log)
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "unrole"
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport(u)
	}
	return &Notifier{cfg: cfg, client: asynq.NewClientFromRedisClient(cfg.Redis), http: newHTTPClient(cfg.Transport),
		log: cfg.Log.With().Str("room", "webhook").Logger(), open: map[string]struct{}{}}, nil
}

// Run looks for jobs that ended and delivers messages, until ctx ends and the deliveries under way have ended.
func (n *Notifier) Run(ctx context.Context) error {
	ending, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	steady, closeSteady := redisconn.Steady(ending, n.cfg.Redis, n.cfg.Gate)
	defer closeSteady()
	const patience = attemptTimeout + 2*time.Second
	server := asynq.NewServerFromRedisClient(steady, asynq.Config{
		Concurrency:              8,
		Queues:                   map[string]int{Queue: 1},
		TaskCheckInterval:        500 * time.Millisecond,
		DelayedTaskCheckInterval: 500 * time.Millisecond,
		RetryDelayFunc:           n.retryDelay,
		ShutdownTimeout:          patience,
		Logger:                   queue.Logger{Log: n.log},
		BaseContext:              func() context.Context { return context.WithoutCancel(ctx) },
	})
	if err := server.Start(asynq.HandlerFunc(n.deliver)); err != nil {
		return fmt.Errorf("start the deliveries of the webhook: %w", err)
	}
	tick := time.NewTicker(n.cfg.Interval)
	defer tick.Stop()
	for {
		if err := n.turn(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn().Err(err).Msg("looking for jobs that ended failed; it is tried again")
		}
		select {
		case <-ctx.Done():
			defer time.AfterFunc(patience, end).Stop()
			server.Stop() // first of all no more tasks: asynq would look for them without a pause while another command is still waited for
			server.Shutdown()
			return nil
		case <-tick.C:
		}
	}
}

// turn looks once, unless another process did within the interval.
func (n *Notifier) turn(ctx context.Context) error {
	mine, err := n.cfg.Redis.SetNX(ctx, turnKey, 1, n.cfg.Interval*9/10).Result()
	if err != nil || !mine {
		return err
	}
	return n.Look(ctx)
}

// overlap covers a job whose name was in the index before its record, and clocks of submitters that differ.
const overlap = 2 * time.Minute

// Look turns the end of every job that ended, and was not told of, into a task.
func (n *Notifier) Look(ctx context.Context) error {
	since, err := n.since(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	ids, _, err := n.cfg.Ledger.CreatedSince(ctx, n.newest) // at first every job: they may have ended while nobody looked
	if err != nil {
		return err
	}
	full := now.Sub(n.full) >= n.cfg.FullInterval
	if full {
		open, err := n.cfg.Ledger.OpenNames(ctx)
		if err != nil {
			return err
		}
		ids = append(ids, open...)
	}
	candidates := maps.Clone(n.open)
	for _, id := range ids {
		candidates[id] = struct{}{}
	}
	ended, open, err := n.cfg.Ledger.Untold(ctx, slices.Collect(maps.Keys(candidates)), since)
	if err != nil {
		return err
	}
	for _, job := range ended {
		if err := n.enqueue(ctx, job); err != nil {
			return err
		}
	}
	// Only now, so that a look that failed half-way is repeated.
	clear(n.open)
	for _, id := range open {
		n.open[id] = struct{}{}
	}
	if full {
		n.full = now
	}
	n.newest = now.Add(-overlap)
	return nil
}

// since is when somebody first asked to be told; what ended before is history.
func (n *Notifier) since(ctx context.Context) (time.Time, error) {
	if err := n.cfg.Redis.SetNX(ctx, sinceKey, time.Now().UnixMicro(), 0).Err(); err != nil {
		return time.Time{}, fmt.Errorf("read since when jobs are told of: %w", err)
	}
	us, err := n.cfg.Redis.Get(ctx, sinceKey).Int64()
	if err != nil {
		return time.Time{}, fmt.Errorf("read since when jobs are told of: %w", err)
	}
	return time.UnixMicro(us), nil
}

// envelope is the payload of a task: the message as it is sent, the same at each attempt.
type envelope struct {
	ID   string          `json:"id"`
	Body json.RawMessage `json:"body"`
}

// message is the body, in the form that Standard Webhooks recommends.
type message struct {
	Type      string     `json:"type"`
	Timestamp time.Time  `json:"timestamp"`
	Data      ledger.Job `json:"data"`
}

func (n *Notifier) enqueue(ctx context.Context, job ledger.Job) error {
	body, err := json.Marshal(message{Type: EventFinished, Timestamp: job.FinishedAt.UTC(), Data: job})
	if err != nil {
		return fmt.Errorf("tell of job %s: %w", job.JobID, err)
	}
	// A job that is opened again ends at another time, which is another message.
	id := fmt.Sprintf("%s.finished.%d", job.JobID, job.FinishedAt.UnixMicro())
	payload, err := json.Marshal(envelope{ID: id, Body: body})
	if err != nil {
		return fmt.Errorf("tell of job %s: %w", job.JobID, err)
	}
	_, err = n.client.EnqueueContext(ctx, asynq.NewTask(TypeFinished, payload), asynq.Queue(Queue), asynq.TaskID(id),
		asynq.MaxRetry(len(n.cfg.Backoff)), asynq.Timeout(2*attemptTimeout), asynq.Retention(24*time.Hour))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("tell of job %s: %w", job.JobID, err)
	}
	return n.cfg.Ledger.Told(ctx, job)
}
