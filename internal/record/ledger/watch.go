package ledger

import (
	"context"
	"time"
)

// Watch reads the job every interval and hands it to visit, until the job is finished, visit returns an error, or ctx
// ends. It returns the last record read. Errors of Redis are handed to visit too, with the record of before: a watcher
// goes on when Redis is back.
func (l *Ledger) Watch(ctx context.Context, jobID string, interval time.Duration, visit func(Job, error) error) (Job, error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last Job
	for {
		job, err := l.Get(ctx, jobID)
		if err == nil {
			last = job
		}
		if ctx.Err() != nil {
			return last, ctx.Err()
		}
		if err := visit(last, err); err != nil {
			return last, err
		}
		if err == nil && job.State.Finished() {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
	}
}
