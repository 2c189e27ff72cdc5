package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Untold divides jobs by their ids: those that ended after since, and whose end was not marked by Told; and those that
// have not ended. Jobs whose end is marked, older, or gone from the record are in neither.
func (l *Ledger) Untold(ctx context.Context, ids []string, since time.Time) (ended []Job, open []string, err error) {
	const page = 500
	for from := 0; from < len(ids); from += page {
		some := ids[from:min(from+page, len(ids))]
		replies := make([]*redis.SliceCmd, len(some))
		if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, id := range some {
				replies[i] = p.HMGet(ctx, jobKey(id), "finished_at", "told", "removed")
			}
			return nil
		}); err != nil {
			return nil, nil, fmt.Errorf("look for jobs that ended: %w", err)
		}
		for i, id := range some {
			f := replies[i].Val()
			finished, _ := f[0].(string)
			switch {
			case f[2] == nil:
			case finished == "":
				open = append(open, id)
			case f[1] != f[0] && !parseTime(finished).Before(since):
				job, err := l.Get(ctx, id)
				if err != nil {
					return nil, nil, err
				}
				if job.FinishedAt == nil { // opened again meanwhile
					open = append(open, id)
					continue
				}
				ended = append(ended, job)
			}
		}
	}
	return ended, open, nil
}

// Told marks the job's end as told to whoever wants to know.
func (l *Ledger) Told(ctx context.Context, job Job) error {
	if job.FinishedAt == nil {
		return fmt.Errorf("job %s has not ended", job.JobID)
	}
	if _, err := l.run(ctx, toldScript, job.JobID, formatTime(*job.FinishedAt)); err != nil {
		return fmt.Errorf("mark the end of job %s as told: %w", job.JobID, err)
	}
	return nil
}
