package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// CreateWhole is Create, PutParts and Planned in one script, for a job that is not there yet and whose plan is one write: j.Planned. Of
// a burst of single removals that is what most of the time goes into. On a cluster, whose index is in another slot than the job, it is
// Create alone, and so it is for what was looked up, has no pair, or is there.
func (l *Ledger) CreateWhole(ctx context.Context, j NewJob) (Created, error) {
	k, shared := l.keysWith(j.JobID, wordKey)
	if _, resolved := leadOf(ctx); !shared || resolved || j.Pairs == 0 {
		return l.Create(ctx, j)
	}
	args, fields, err := l.createArgs(ctx, j)
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	parts, err := partArgs(j.Planned)
	if err != nil {
		return Created{}, err
	}
	content, at, plan, calls, entry, seen := args[0], args[1], args[2], args[3], args[4], args[5]
	fields = append(fields, "content", content, "at", at, "plan", plan, "planned_calls", calls)
	args = slices.Concat([]any{entry, seen, len(fields)}, fields, parts)
	var created *redis.Cmd
	err = l.trip(ctx, func(p redis.Pipeliner) {
		l.addToIndexes(ctx, p, j)
		created = createWholeScript.EvalSha(ctx, p, k, args...)
	}, createWholeScript)
	switch {
	case err != nil:
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	case created.Val() == int64(0):
		return l.Create(ctx, j)
	}
	return Created{Written: true, NeedTasks: true}, nil
}

// SubmittedWhole is Submitted, and Get, in one round trip. A job that Redis has lost since it was created gives a *NotFoundError.
func (l *Ledger) SubmittedWhole(ctx context.Context, jobID string) (Job, error) {
	var fields *redis.MapStringStringCmd
	err := l.trip(ctx, func(p redis.Pipeliner) {
		submittedScript.EvalSha(ctx, p, keys(jobID))
		fields = p.HGetAll(ctx, jobKey(jobID))
	}, submittedScript)
	if err != nil {
		return Job{}, fmt.Errorf("close the submission of job %s: %w", jobID, err)
	}
	if fields.Val()["content"] == "" { // or workers have adopted parts that were enqueued after Redis had lost the job
		return Job{}, &NotFoundError{JobID: jobID}
	}
	return l.job(jobID, fields.Val()), nil
}
