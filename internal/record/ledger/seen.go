package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// Snapshot is what a preflight saw of the pairs of the job before anything of it was sent, nil where there was none or the
// record is gone. Its sum stands in Job.Snapshot.
func (l *Ledger) Snapshot(ctx context.Context, jobID string) (*snapshot.Snapshot, error) {
	if err := tasks.ValidateJobID(jobID); err != nil {
		return nil, err
	}
	data, err := l.rdb.Get(ctx, keys(jobID)[keySeen]).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the snapshot of job %s: %w", jobID, err)
	}
	s, err := snapshot.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", jobID, err)
	}
	return s, nil
}
