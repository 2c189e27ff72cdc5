package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/tasks"
)

const (
	// wordKey holds the number of the last word, see lua/word.lua.
	wordKey = "unrole:word"
	// restoresKey is a sorted set of the jobs that give back, by when they were put into it, in µs. A name is put in before its
	// job opens, and taken out when the job is seen to have ended.
	restoresKey = "unrole:jobs:restores"
)

// word is the number of what is being said now: that a job takes its turn. Every number is higher than those before it, and
// than least.
func (l *Ledger) word(ctx context.Context, least int64) (string, error) {
	word, err := wordScript.Run(ctx, l.rdb, []string{wordKey}, least).Text()
	if err != nil {
		return "", fmt.Errorf("number what is said: %w", err)
	}
	return word, nil
}

// speak runs a script that gives a job its turn. It takes the number itself, so that who is kept from going on between the two says
// nothing of yesterday; only on a cluster, where the job and the number are in different slots, it is given one.
func (l *Ledger) speak(ctx context.Context, s *redis.Script, jobID string, args ...any) ([]any, error) {
	k, shared := l.keysWith(jobID, wordKey)
	word := ""
	if !shared {
		var err error
		if word, err = l.word(ctx, 0); err != nil {
			return nil, err
		}
	}
	reply, err := s.Run(ctx, l.rdb, k, append(args, word)...).Slice()
	return reply, err
}

// Due has whatever is said from now on come after a job whose time has come, by whichever clock.
func (l *Ledger) Due(ctx context.Context, at time.Time) error {
	_, err := l.word(ctx, at.UnixMicro())
	return err
}

// Word is what a job did with a pair, or is about to do.
type Word struct {
	Action tasks.Action
	JobID  string
}

// Words are the last words about pairs, by user and role.
type Words map[string]map[int64]Word

// Since finds what the jobs that had their turn after the given one said last about the pairs of users: what they did with them, or
// are about to. Jobs that do not count are left out, and those that have not had their turn: they wait for an approval, for their
// time, or to be submitted whole. The map has the users that it is handed. It reads the records of all jobs, and every pair of those that
// come later.
func (l *Ledger) Since(ctx context.Context, own Job, counts func(Job) bool, of Words) error {
	var later []Job
	for job, err := range l.All(ctx) {
		if err != nil {
			return err
		}
		if job.JobID != own.JobID && counts(job) && !job.Planning && job.Awaiting == "" && job.State != StateScheduled && own.Before(job) {
			later = append(later, job)
		}
	}
	slices.SortFunc(later, func(a, b Job) int {
		if a.Before(b) {
			return -1
		}
		return 1
	})
	later, err := l.naming(ctx, later, func(user string) bool { return of[user] != nil })
	if err != nil {
		return err
	}
	for jobs := range slices.Chunk(later, readAtOnce) {
		about, errs := make([][]Row, len(jobs)), make([]error, len(jobs))
		var reading sync.WaitGroup
		for i, job := range jobs {
			reading.Go(func() {
				errs[i] = l.Rows(ctx, job.JobID, func(row Row) error {
					if of[row.UserID] != nil && row.Outcome.Kind != Dead && row.Outcome.Kind != Cancelled {
						about[i] = append(about[i], row)
					}
					return nil
				})
			})
		}
		reading.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		for i, job := range jobs {
			for _, row := range about[i] {
				of[row.UserID][row.RoleID] = Word{job.Action, job.JobID}
			}
		}
	}
	return nil
}

const (
	// readAtOnce is how many jobs are read side by side: small ones are a wait for Redis each, and nothing else.
	readAtOnce = 16
	// smallJob is up to how many pairs of a job its plan is read before its outcomes.
	smallJob = 1000
)

// naming are those of the jobs that may be about one of the users: most small jobs are not, and are read many at a time to see it.
func (l *Ledger) naming(ctx context.Context, jobs []Job, about func(user string) bool) ([]Job, error) {
	var named []Job
	for page := range slices.Chunk(jobs, pageOfJobs) {
		isSmall := func(job Job) bool { return job.Pairs.Total <= smallJob }
		plans, err := l.plans(ctx, slices.DeleteFunc(slices.Clone(page), func(job Job) bool { return !isSmall(job) }))
		if err != nil {
			return nil, err
		}
		for _, job := range page {
			if isSmall(job) {
				plan := plans[0]
				plans = plans[1:]
				if !slices.ContainsFunc(plan, func(payload string) bool {
					part, err := tasks.Decode([]byte(payload))
					// Who reads the outcomes says what is wrong with a part.
					return err != nil || slices.ContainsFunc(part.UserIDs, about)
				}) {
					continue
				}
			}
			named = append(named, job)
		}
	}
	return named, nil
}

// Later finds, for pairs of the job, a job of the other action that had its turn after it and did something with them, or is
// about to: by user and role.
func (l *Ledger) Later(ctx context.Context, jobID string) (Words, error) {
	own, err := l.Get(ctx, jobID)
	if err != nil {
		return nil, err
	}
	words := Words{}
	if err := l.Each(ctx, jobID, func(rec PartRecord) error {
		for _, user := range rec.Part.UserIDs {
			words[user] = map[int64]Word{}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	return words, l.Since(ctx, own, func(job Job) bool { return job.Action != own.Action }, words)
}

// turn is when a job takes its turn, in µs: when its submission was complete, or it was approved, or its time comes.
func (j Job) turn() int64 {
	turn := j.word
	if turn == 0 { // of a producer of an older version, or adopted
		turn = j.CreatedAt.UnixMicro()
	}
	if j.At != nil {
		turn = max(turn, j.At.UnixMicro())
	}
	return turn
}

// Before reports whether the job has its turn before another one: what both are about ends as the other one has it.
func (j Job) Before(other Job) bool {
	a, b := j.turn(), other.turn()
	return a < b || a == b && j.JobID < other.JobID
}

// Restores lists the jobs that give back and are not finished. Those whose submission is not complete are left out.
func (l *Ledger) Restores(ctx context.Context) ([]Job, error) {
	scored, err := l.rdb.ZRangeWithScores(ctx, restoresKey, 0, -1).Result()
	if err != nil || len(scored) == 0 {
		return nil, wrapped("list the restores", err)
	}
	ids := make([]string, len(scored))
	for i, z := range scored {
		ids[i] = z.Member.(string)
	}
	records, err := l.records(ctx, ids)
	if err != nil {
		return nil, err
	}
	latest := float64(l.now().Add(-lingers).UnixMicro())
	var open []Job
	var ended []any
	for i, fields := range records {
		job := l.job(ids[i], fields)
		switch {
		case len(fields) > 0 && job.Planning:
		case len(fields) > 0 && !job.State.Finished():
			open = append(open, job)
		case scored[i].Score < latest:
			ended = append(ended, ids[i])
		}
	}
	if len(ended) > 0 {
		// A name that stays costs who reads the list a look at the record, nothing more.
		l.rdb.ZRem(ctx, restoresKey, ended...)
	}
	return open, nil
}

// restoring puts the name of a job that gives back where Restores finds it.
func (l *Ledger) restoring(ctx context.Context, jobID string) error {
	err := l.rdb.ZAdd(ctx, restoresKey, redis.Z{Score: float64(l.now().UnixMicro()), Member: jobID}).Err()
	return wrapped("put job "+jobID+" among the restores", err)
}

func wrapped(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Unsettled are the pairs that calls of the job may still be about, by user: all pairs of a part that waits for the outcome
// of any, since a call may repeat the others, but for those that were cancelled.
func (l *Ledger) Unsettled(ctx context.Context, jobID string) (map[string][]int64, error) {
	pairs := map[string][]int64{}
	err := l.Each(ctx, jobID, func(rec PartRecord) error {
		if own, letters := rec.Open(); !own && letters == nil {
			return nil
		}
		cancelled := map[int]bool{}
		for i, row := range rec.Rows() {
			cancelled[i] = row.Outcome.Kind == Cancelled
		}
		for u, user := range rec.Part.UserIDs {
			for r, role := range rec.Part.RoleIDs {
				if !cancelled[u*len(rec.Part.RoleIDs)+r] {
					pairs[user] = append(pairs[user], role)
				}
			}
		}
		return nil
	})
	return pairs, err
}

// RestoredBy notes in the record of a job that another one gives back what it removed. A job that is gone is passed over.
func (l *Ledger) RestoredBy(ctx context.Context, jobID, by string) error {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return err
	}
	_, err := l.run(ctx, restoredByScript, jobID, by)
	return wrapped("note that job "+jobID+" is given back", err)
}
