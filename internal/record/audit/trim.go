package audit

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// trimEvery is how often old entries are looked for.
const trimEvery = time.Hour

// trim takes entries off Redis that are older than Keep and that the file has.
func (f *follower) trim(ctx context.Context, jobs []string) error {
	if f.cfg.Keep <= 0 || time.Since(f.trimmed) < trimEvery {
		return nil
	}
	oldest := time.Now().Add(-f.cfg.Keep).UnixMilli()
	for some := range slices.Chunk(jobs, jobsAtOnce) {
		first, err := f.cfg.Ledger.Trails(ctx, some, nil, 1)
		if err != nil {
			return err
		}
		for i, job := range some {
			written, known := f.cursors[job]
			if len(first[i]) == 0 && !known || len(first[i]) > 0 && (!known || !later(strconv.FormatInt(oldest, 10), first[i][0].ID)) {
				continue
			}
			gone, err := f.cfg.Ledger.TrimTrail(ctx, job, earlier(strconv.FormatInt(oldest, 10)+"-0", after(written)))
			if err != nil {
				return err
			}
			if !gone {
				continue
			}
			if err := Forget(ctx, f.cfg.Redis, job); err != nil {
				return err
			}
			delete(f.cursors, job)
			delete(f.active, job)
		}
	}
	f.trimmed = time.Now()
	return nil
}

// after is the place right behind one in a trail.
func after(id string) string {
	ms, n := place(id)
	return fmt.Sprintf("%d-%d", ms, n+1)
}

func earlier(a, b string) string {
	if later(a, b) {
		return b
	}
	return a
}
