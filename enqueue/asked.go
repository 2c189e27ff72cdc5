package enqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/producer"
	"github.com/unrole/unrole/tasks"
)

// Asking is a removal whose people or roles have to be looked up in DingTalk, by a worker. Request is required.
type Asking struct {
	Request *asked.Request
	// JobID and the others are those of a Submission.
	JobID, Source, Reason, Priority string
	At                              time.Time
	SubmittedBy                     string
	MaxUsers                        int
	Simulated                       bool
}

// Ask submits a removal that is looked up by a worker, without asking DingTalk itself: when it returns without an error, what
// was asked is durable in Redis. The job is in StateResolving until it is certain whom and what it means, and which pairs are held;
// then it goes on like any other with these pairs, or ends in StateRefused, with the reasons in Job.Unresolved, and nothing was
// removed. Job.At is when it is carried out: it is looked up at once, so that what is wrong is known early.
//
// The same JobID with the same request is the same job. Errors: those of Submit.
func (c *Client) Ask(ctx context.Context, a Asking) (Submitted, error) {
	if err := c.checkAsking(&a); err != nil {
		return Submitted{}, err
	}
	traced := *a.Request
	traced.Trace = trace.Parent(ctx)
	request, err := traced.Encode()
	if err != nil {
		return Submitted{}, err
	}
	key, err := c.askedKey(ctx)
	if err != nil {
		return Submitted{}, err
	}
	existed, err := c.ledger.Ask(ctx, ledger.Asked{JobID: a.JobID, Source: a.Source, Reason: a.Reason, Priority: a.Priority, SubmittedBy: a.SubmittedBy,
		CreatedAt: time.Now(), At: a.At, Simulated: a.Simulated, Content: a.Request.Digest(key), Request: request})
	if err != nil {
		return Submitted{}, err
	}
	job, err := c.ledger.Get(ctx, a.JobID)
	return Submitted{Job: job, Existed: existed}, err
}

func (c *Client) checkAsking(a *Asking) error {
	if a.Request == nil || a.Request.People() == 0 {
		return errors.New("enqueue: what is asked for names nobody")
	}
	if err := defaultJob(&a.JobID, &a.Priority); err != nil {
		return err
	}
	if a.MaxUsers == 0 {
		a.MaxUsers = DefaultMaxUsers
	}
	if n := a.Request.People(); a.MaxUsers > 0 && n > a.MaxUsers {
		return &GuardError{Users: n, Max: a.MaxUsers}
	}
	if c.cfg.Protected == nil {
		return nil
	}
	// What is known before anybody looks; the worker looks again at whoever is found.
	named := &Removals{}
	for row := range a.Request.Rows() {
		for _, p := range row.People {
			if p.Kind == lists.UserID {
				named.Add(p.Text, 0)
			}
		}
		for _, r := range row.Roles {
			named.Add("", r.ID)
		}
	}
	return named.CheckProtected(c.cfg.Protected)
}

// askedKeyKey has the key of those digests where Config.Secret is empty.
const askedKeyKey = "unrole:asked:key"

// askedKey is the key under which what was asked becomes the content of a job.
func (c *Client) askedKey(ctx context.Context) ([]byte, error) {
	if len(c.cfg.Secret) > 0 {
		return c.cfg.Secret, nil
	}
	err := c.cfg.Redis.SetNX(ctx, askedKeyKey, rand.Text(), 0).Err()
	if err == nil {
		var key string
		if key, err = c.cfg.Redis.Get(ctx, askedKeyKey).Result(); err == nil {
			return []byte(key), nil
		}
	}
	if errors.Is(err, redis.Nil) {
		err = errors.New("it vanished")
	}
	return nil, fmt.Errorf("read the key of what was asked: %w", err)
}

// SubmitResolved submits what a job that was asked for means, as the worker with this lead has looked it up: JobID, Removals and
// Snapshot of the submission, and whether it awaits approval; the rest was said when it was asked. It is for workers. Nothing is
// changed of a job that is past that; ErrStale says that a later lead has it.
func (c *Client) SubmitResolved(ctx context.Context, s Submission, lead int64) (Submitted, error) {
	s.resolved = &lead
	return c.Submit(ctx, s)
}

// ErrStale says that another worker has taken over what this one did.
var ErrStale = ledger.ErrStale

// CompleteResolved enqueues what a worker that died has left of a resolved job.
func (c *Client) CompleteResolved(ctx context.Context, job Job) error {
	if job.State.Finished() || job.Planning {
		return nil
	}
	_, err := producer.Repair(ctx, c.ledger, c.cfg.Redis, c.asynq, job)
	return err
}

// defaultJob checks a job id and a lane, and fills them in where they are empty.
func defaultJob(jobID, priority *string) error {
	if *jobID == "" {
		*jobID = tasks.NewJobID(time.Now())
	}
	if err := tasks.ValidateJobID(*jobID); err != nil {
		return err
	}
	if *priority == "" {
		*priority = tasks.QueueDefault
	}
	if !tasks.IsLane(*priority) {
		return fmt.Errorf("priority %q is not one of urgent, default, bulk", *priority)
	}
	return nil
}
