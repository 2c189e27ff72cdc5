package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/tasks"
)

// Concern is whom and what a job is about.
type Concern struct {
	Job   Job
	Users map[string]bool
	Roles map[int64]bool
	// Complete says that nobody can be added any more: the plan is written, or the job has ended.
	Complete bool
	// Place is where Concerns goes on behind the job.
	Place string
}

// Concerns yields whom and what all jobs are about, the most recent first, behind the place of one; the empty place is the beginning.
// Jobs that come in meanwhile are not among them. It ends at the first error.
func (l *Ledger) Concerns(ctx context.Context, behind string) iter.Seq2[Concern, error] {
	return func(yield func(Concern, error) bool) {
		for page, err := range l.looks(ctx, indexKey, behind) {
			var concerns []Concern
			if err == nil {
				concerns, err = l.concernsOf(ctx, jobsOf(page))
			}
			if err != nil {
				yield(Concern{}, err)
				return
			}
			for i, c := range concerns {
				if c.Place = page[i].Place; !yield(c, nil) {
					return
				}
			}
		}
	}
}

// ConcernsOf reads whom and what jobs are about, in their order; those without a record are left out.
func (l *Ledger) ConcernsOf(ctx context.Context, jobIDs []string) ([]Concern, error) {
	var concerns []Concern
	for page := range slices.Chunk(jobIDs, pageOfJobs) {
		jobs, err := l.Jobs(ctx, page)
		if err != nil {
			return nil, err
		}
		some, err := l.concernsOf(ctx, jobs)
		if err != nil {
			return nil, err
		}
		concerns = append(concerns, some...)
	}
	return concerns, nil
}

func (l *Ledger) concernsOf(ctx context.Context, jobs []Job) ([]Concern, error) {
	plans, err := l.plans(ctx, jobs)
	if err != nil {
		return nil, err
	}
	concerns := make([]Concern, len(jobs))
	for i, job := range jobs {
		c := Concern{Job: job, Users: map[string]bool{}, Roles: map[int64]bool{},
			Complete: job.State.Finished() || !job.Planning && job.Source != SourceQueue}
		for _, payload := range plans[i] {
			part, err := tasks.Decode([]byte(payload))
			if err != nil {
				continue // the job's own page says so
			}
			for _, user := range part.UserIDs {
				c.Users[user] = true
			}
			for _, role := range part.RoleIDs {
				c.Roles[role] = true
			}
		}
		concerns[i] = c
	}
	return concerns, nil
}

// plans reads the parts of several jobs as they were written, in one round trip.
func (l *Ledger) plans(ctx context.Context, jobs []Job) ([][]string, error) {
	parts := make([]*redis.StringSliceCmd, len(jobs))
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, job := range jobs {
			parts[i] = p.HVals(ctx, keys(job.JobID)[keyParts])
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read whom %d jobs are about: %w", len(jobs), err)
	}
	plans := make([][]string, len(jobs))
	for i := range parts {
		plans[i] = parts[i].Val()
	}
	return plans, nil
}

// Jobs reads the records of jobs, in their order; those without one are left out.
func (l *Ledger) Jobs(ctx context.Context, jobIDs []string) ([]Job, error) {
	var jobs []Job
	for page := range slices.Chunk(jobIDs, pageOfJobs) {
		records, err := l.records(ctx, page)
		if err != nil {
			return nil, err
		}
		for i, fields := range records {
			if len(fields) > 0 {
				jobs = append(jobs, l.job(page[i], fields))
			}
		}
	}
	return jobs, nil
}

// PartsFrom returns the parts of a job in the order of the plan, beginning with the one of the given name, or at the
// beginning where that is empty, until they have so many people; next is the name of the part that follows, empty at the
// end. Parts that were split are left out: their children are there.
func (l *Ledger) PartsFrom(ctx context.Context, jobID, from string, people int) (parts []PartRecord, next string, err error) {
	k := keys(jobID)
	names, err := l.rdb.HKeys(ctx, k[keyParts]).Result()
	if err != nil {
		return nil, "", fmt.Errorf("read parts of job %s: %w", jobID, err)
	}
	slices.SortFunc(names, comparePartNames)
	begin := 0
	if from != "" {
		begin, _ = slices.BinarySearchFunc(names, from, comparePartNames)
	}
	const atOnce = 25
	for chunk := range slices.Chunk(names[begin:], atOnce) {
		payloads, err := l.rdb.HMGet(ctx, k[keyParts], chunk...).Result()
		if err != nil {
			return nil, "", fmt.Errorf("read parts of job %s: %w", jobID, err)
		}
		byName := make(map[string]string, len(chunk))
		for i, name := range chunk {
			byName[name], _ = payloads[i].(string)
		}
		chunk = slices.DeleteFunc(chunk, func(name string) bool { return byName[name] == "" })
		found := map[string]PartRecord{}
		if err := l.visit(ctx, k, chunk, byName, func(rec PartRecord) error {
			found[rec.Part.Part] = rec
			return nil
		}); err != nil {
			return nil, "", err
		}
		for _, name := range chunk {
			if people <= 0 {
				return parts, name, nil
			}
			if rec, whole := found[name]; whole {
				parts = append(parts, rec)
				people -= len(rec.Part.UserIDs)
			}
		}
	}
	return parts, "", nil
}

// comparePartNames orders parts as they were planned: 2 before 10, and 2.1 between 2 and 3.
func comparePartNames(a, b string) int {
	for a != "" && b != "" {
		var x, y string
		x, a, _ = strings.Cut(a, ".")
		y, b, _ = strings.Cut(b, ".")
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}
