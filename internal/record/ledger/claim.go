package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/tasks"
)

// badAtOnce is how many bad ids of a job are read whole; of a job that has more, the ids of each part are looked up.
const badAtOnce = 200

// ErrOtherContent says that the job has a part of the same name and other pairs.
var ErrOtherContent = errors.New("the job has another part of that name")

// ErrStale says that a later lead has looked at the job: who asks has lost the tasks to it, and has nothing to say any more.
var ErrStale = errors.New("another worker has taken the job's tasks over")

// ErrReplaced says that Redis was started again, or that a replica took its place, since the lead began: what it knows of the job may be
// more than Redis does, and is not written any more.
var ErrReplaced = errors.New("the job was read from another server of Redis than this one")

// Request asks for the claim of one part.
type Request struct {
	Part *tasks.Part
	// Lane is the lane of the task, for the record of a job that has to be adopted.
	Lane string
	// Lead is in whose name the part is worked on; empty for those who take no tasks. The claim and all that is written with it
	// are refused with ErrStale once a later one has looked at the job, and with ErrReplaced where Redis is another server.
	Lead lease.Fence
	// First says that nobody in this process has the part yet: a call that is still marked has taken its worker along.
	First bool
	// Begin says that a call follows at once: from here on a cancel leaves the part alone until it settles.
	Begin bool
	// Again says that an earlier Claim compared this part with the record: its pairs are not sent once more.
	Again bool
}

// Claim looks at parts, in one round trip. A part or job that the ledger does not know is adopted. A dead letter that
// is tried again claims the pairs of the batch it was set apart from; what its job learned is not held against it.
func (l *Ledger) Claim(ctx context.Context, requests ...Request) ([]*Claim, error) {
	replies, err := l.claim(ctx, requests)
	if err != nil {
		return nil, fmt.Errorf("look up %d parts: %w", len(requests), err)
	}
	claims := make([]*Claim, len(requests))
	for i, reply := range replies {
		values, err := reply.Slice()
		if err != nil {
			return nil, fmt.Errorf("look up part %s: %w", requests[i].Part.TaskID(), err)
		}
		c, adopted, err := newClaim(requests[i], values)
		if err != nil {
			return nil, fmt.Errorf("look up part %s: %w", requests[i].Part.TaskID(), err)
		}
		if adopted == justNow || adopted == before && !requests[i].Again {
			// The index is in another slot; a failure here is mended by the next claim of the job, since every first look at
			// a part of an adopted job comes here.
			if err := l.rdb.ZAddNX(ctx, indexKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: c.Part.JobID}).Err(); err != nil {
				return nil, fmt.Errorf("adopt job %s: %w", c.Part.JobID, err)
			}
			if err := l.opened(ctx, c.Part.JobID); err != nil {
				return nil, err
			}
			if c.Part.Action == tasks.Add {
				if err := l.restoring(ctx, c.Part.JobID); err != nil {
					return nil, err
				}
			}
		}
		claims[i] = c
	}
	return claims, nil
}

// claim asks for all parts in one round trip. Those whose job turns out to have many bad ids, or to be gone since the
// part was compared with it, are asked for once more, with everything.
func (l *Ledger) claim(ctx context.Context, requests []Request) ([]*redis.Cmd, error) {
	replies := make([]*redis.Cmd, len(requests))
	ask := func(which []int, full bool) error {
		args := make([][]any, len(which))
		for n, i := range which {
			var err error
			if args[n], err = l.claimArgs(requests[i], full); err != nil {
				return err
			}
		}
		return l.trip(ctx, func(p redis.Pipeliner) {
			for n, i := range which {
				replies[i] = claimScript.EvalSha(ctx, p, keys(requests[i].Part.JobID), args[n]...)
			}
		}, claimScript)
	}
	all := make([]int, len(requests))
	for i := range all {
		all[i] = i
	}
	if err := ask(all, false); err != nil {
		return nil, err
	}
	var again []int
	for i, reply := range replies {
		if v, err := reply.Slice(); err == nil && len(v) == 1 && (v[0] == "payload" || v[0] == "ids") {
			again = append(again, i)
		}
	}
	if again == nil {
		return replies, nil
	}
	return replies, ask(again, true)
}

// claimArgs are the arguments of claimScript, in full with everything that it may ask for.
func (l *Ledger) claimArgs(rq Request, full bool) ([]any, error) {
	p := rq.Part
	now := formatTime(l.now())
	batch, begin := "", ""
	if p.Failure != nil {
		batch = tasks.BatchName(p.Part)
	}
	switch {
	case rq.Begin:
		begin = "begin"
	case rq.First:
		begin = "first"
	}
	var ids []any
	switch {
	case p.Failure != nil:
		// What the job learned is not held against a letter that is tried again; who stays is.
		for _, u := range p.UserIDs {
			ids = append(ids, staysField(u))
		}
	case full:
		for _, u := range p.UserIDs {
			ids = append(ids, UserField(u), staysField(u))
		}
		for _, r := range p.RoleIDs {
			ids = append(ids, RoleField(r))
		}
	}
	if rq.Again && !full {
		return append([]any{p.Part, batch, "", 0, begin, rq.Lane, now, "", badAtOnce, string(rq.Lead), ""}, ids...), nil
	}
	def := *p
	def.Failure = nil
	payload, err := def.Encode()
	if err != nil {
		return nil, err
	}
	entry, err := encodeEntry(Entry{At: l.now(), Event: EventAdopted, JobID: p.JobID, Part: p.Part, Source: SourceQueue,
		Pairs: int64(p.Owned()), Users: len(p.UserIDs), Roles: len(p.RoleIDs)})
	if err != nil {
		return nil, err
	}
	return append([]any{p.Part, batch, payload, p.Owned(), begin, rq.Lane, now, entry, badAtOnce, string(rq.Lead), string(p.Action)}, ids...), nil
}

// UserField and RoleField name an id among the bad ones of a job.
func UserField(id string) string { return "u:" + id }

// RoleField names a role among the bad ids of a job.
func RoleField(id int64) string { return "r:" + strconv.FormatInt(id, 10) }

// Whether the job of a claimed part is an adopted one, as claimScript says it.
const (
	before  = 1 // the job was adopted once
	justNow = 2 // the part was adopted by this look
)

func newClaim(rq Request, v []any) (c *Claim, adopted int64, err error) {
	if err := staleness(v); err != nil {
		return nil, 0, err
	}
	if len(v) == 1 {
		return nil, 0, ErrOtherContent
	}
	str := func(i int) string { s, _ := v[i].(string); return s }
	crashes, _ := v[7].(int64)
	c = &Claim{Part: rq.Part, def: rq.Part, Cancelled: str(0) != "", CancelReason: str(1), At: parseTime(str(2)), Crashes: int(crashes), lead: rq.Lead}
	if def := str(4); def != "" {
		if c.def, err = tasks.Decode([]byte(def)); err != nil {
			return nil, 0, err
		}
		if err := c.locate(); err != nil {
			return nil, 0, err
		}
	}
	if c.State, err = decodeState(str(3), c.def.Pairs()); err != nil {
		return nil, 0, err
	}
	if found, _ := v[6].([]any); len(found) > 0 {
		c.bad = make(map[string]tasks.Failure, len(found)/2)
		for i := 0; i+1 < len(found); i += 2 {
			var f tasks.Failure
			if err := json.Unmarshal([]byte(found[i+1].(string)), &f); err != nil {
				return nil, 0, fmt.Errorf("bad id %v: %w", found[i], err)
			}
			c.bad[found[i].(string)] = f
		}
	}
	adopted, _ = v[5].(int64)
	return c, adopted, nil
}
