package ledger

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// CreateWhole is Create, PutParts and Planned in one round trip, for a job whose plan is one write: j.Planned. Of a burst of single
// removals that is what most of the time goes into. On a cluster, whose index is in another slot than the job, it is Create alone, and
// so it is for what was looked up.
func (l *Ledger) CreateWhole(ctx context.Context, j NewJob) (Created, error) {
	_, slots := l.rdb.(*redis.ClusterClient)
	if _, resolved := leadOf(ctx); slots || resolved {
		return l.Create(ctx, j)
	}
	create, err := l.createArgs(ctx, j)
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	put, err := putPartsArgs(planBy(ctx, j.Plan), j.Planned)
	if err != nil {
		return Created{}, err
	}
	k := keys(j.JobID)
	var created, written, planned *redis.Cmd
	err = l.trip(ctx, func(p redis.Pipeliner) {
		l.addToIndexes(ctx, p, j)
		again := createScript.EvalSha(ctx, p, k, create...)
		if created == nil || created.Err() != nil {
			created = again // what it found is what it found first
		}
		written = putPartsScript.EvalSha(ctx, p, k, put...)
		planned = plannedScript.EvalSha(ctx, p, append(k, wordKey), planBy(ctx, j.Plan), len(j.Planned), "")
	}, createScript, putPartsScript, plannedScript)
	if err != nil {
		return Created{}, fmt.Errorf("create job %s: %w", j.JobID, err)
	}
	reply, err := created.Slice()
	c, err := l.created(ctx, j, create, reply, err)
	if err != nil || !c.NeedParts {
		return c, err
	}
	reply, err = written.Slice()
	if mine, err := planning(j.JobID, reply, err); err != nil || !mine {
		return c, err
	}
	reply, err = planned.Slice()
	mine, err := planning(j.JobID, reply, err)
	c.NeedParts, c.Written = !mine, mine
	return c, err
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
