package asked

import (
	"context"
	"errors"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/defaults"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Client submits requests. Ledger is required.
type Client struct {
	Ledger *ledger.Ledger
	// Protected users and roles refuse a request whole; nil protects nobody. Workers check theirs again.
	Protected enqueue.ProtectedIDs
	// Secret is what nobody knows who reads Redis, the app's secret say: by it, what was asked is known again and cannot be guessed from
	// the record. Empty means a key that is kept in Redis. All who submit should have the same.
	Secret []byte
}

// Asking is a removal whose people or roles have to be looked up in DingTalk, by a worker. Request is required.
type Asking struct {
	Request *Request
	// JobID and the others are those of an enqueue.Submission.
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
// The same JobID with the same request is the same job. Errors: those of enqueue.Client.Submit.
func (c *Client) Ask(ctx context.Context, a Asking) (enqueue.Submitted, error) {
	if err := c.check(&a); err != nil {
		return enqueue.Submitted{}, err
	}
	traced := *a.Request
	traced.Trace = trace.Parent(ctx)
	request, err := traced.Encode()
	if err != nil {
		return enqueue.Submitted{}, err
	}
	key, err := c.key(ctx)
	if err != nil {
		return enqueue.Submitted{}, err
	}
	existed, err := c.Ledger.Ask(ctx, ledger.Asked{JobID: a.JobID, Source: a.Source, Reason: a.Reason, Priority: a.Priority, SubmittedBy: a.SubmittedBy,
		CreatedAt: time.Now(), At: a.At, Simulated: a.Simulated, Content: a.Request.Digest(key), Request: request})
	if err != nil {
		return enqueue.Submitted{}, err
	}
	job, err := c.Ledger.Get(ctx, a.JobID)
	return enqueue.Submitted{Job: job, Existed: existed}, err
}

func (c *Client) check(a *Asking) error {
	if a.Request == nil || a.Request.People() == 0 {
		return errors.New("what is asked for names nobody")
	}
	if err := defaults.Job(&a.JobID, &a.Priority); err != nil {
		return err
	}
	if a.MaxUsers == 0 {
		a.MaxUsers = enqueue.DefaultMaxUsers
	}
	if n := a.Request.People(); a.MaxUsers > 0 && n > a.MaxUsers {
		return &enqueue.GuardError{Users: n, Max: a.MaxUsers}
	}
	if c.Protected == nil {
		return nil
	}
	// What is known before anybody looks; the worker looks again at whoever is found.
	named := &enqueue.Removals{}
	for row := range a.Request.Rows() {
		for _, p := range row.People {
			if p.By == lists.UserID {
				named.Add(p.Text, 0)
			}
		}
		for _, r := range row.Roles {
			named.Add("", r.ID)
		}
	}
	return named.CheckProtected(c.Protected)
}

// key is the one under which what was asked becomes the content of a job.
func (c *Client) key(ctx context.Context) ([]byte, error) {
	if len(c.Secret) > 0 {
		return c.Secret, nil
	}
	return c.Ledger.NamingKey(ctx)
}
