// Package enqueuetest gives the tests of a producer an enqueue.Client without a Redis, and shows what was submitted
// through it.
//
// The client is the real one, over an in-memory stand-in for Redis: validation, the guard, idempotence and conflicts are
// those of production. Nothing is carried out, since no worker runs.
package enqueuetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
)

// Fake is a client for tests, and what was submitted through it.
type Fake struct {
	// Client is for the code under test.
	*enqueue.Client

	t      testing.TB
	memory *miniredis.Miniredis
	ledger *ledger.Ledger
}

// Submitted is one job as it was stored.
type Submitted struct {
	JobID, Source, Reason, Priority string
	// At is when the removal takes effect; zero means at once.
	At time.Time
	// AwaitsApproval is whether somebody has to approve the job first.
	AwaitsApproval bool
	// Roles are the roles that each user loses, ascending.
	Roles map[string][]int64
}

// New starts a fake, which ends with the test. The configuration's Redis is set by it; the zero Config will do.
func New(t testing.TB, cfg enqueue.Config) *Fake {
	t.Helper()
	m := miniredis.RunT(t)
	// One try only, so that Fail shows at once.
	rdb := redis.NewClient(&redis.Options{Addr: m.Addr(), DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { rdb.Close() })
	cfg.Redis = rdb
	client, err := enqueue.NewClient(cfg)
	if err != nil {
		t.Fatalf("enqueuetest: %v", err)
	}
	return &Fake{Client: client, t: t, memory: m, ledger: ledger.New(rdb, cfg.Retention)}
}

// Fail lets every submission fail with this answer of Redis, such as "LOADING Redis is loading the dataset in memory".
// The empty string ends it.
func (f *Fake) Fail(answer string) { f.memory.SetError(answer) }

// Jobs lists what was submitted, the oldest first.
func (f *Fake) Jobs() []Submitted {
	f.t.Helper()
	ctx := context.Background()
	list, err := f.ledger.List(ctx, 0, -1)
	if err != nil {
		f.t.Fatalf("enqueuetest: %v", err)
	}
	slices.Reverse(list)
	jobs := make([]Submitted, len(list))
	for i, j := range list {
		s := Submitted{JobID: j.JobID, Source: j.Source, Reason: j.Reason, Priority: j.Priority, AwaitsApproval: j.Awaiting == ledger.AwaitingApproval,
			Roles: map[string][]int64{}}
		if j.At != nil {
			s.At = *j.At
		}
		err := f.ledger.Rows(ctx, j.JobID, func(r ledger.Row) error {
			s.Roles[r.UserID] = append(s.Roles[r.UserID], r.RoleID)
			return nil
		})
		if err != nil {
			f.t.Fatalf("enqueuetest: %v", err)
		}
		for _, roles := range s.Roles {
			slices.Sort(roles)
		}
		jobs[i] = s
	}
	return jobs
}
