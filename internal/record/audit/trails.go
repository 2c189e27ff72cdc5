package audit

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
)

const (
	// jobsAtOnce and entriesAtOnce bound one round trip.
	jobsAtOnce, entriesAtOnce = 100, 200
	// writeAtOnce is what is written between two moves of the cursors, roughly; it is far below tailSize.
	writeAtOnce = 256 << 10
	// skew is how far the clocks of submitters, which jobs are ordered by, may differ.
	skew = time.Minute
)

// follow brings the file up to date: every job at a sweep, else those that move.
func (f *follower) follow(ctx context.Context) error {
	if sweep := time.Since(f.swept) >= f.cfg.Sweep; sweep {
		all, err := f.cfg.Ledger.JobsWithTrail(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		f.active = map[string]bool{}
		if err := f.bring(ctx, all); err != nil {
			return err
		}
		f.swept = began
		return f.trim(ctx, all)
	}
	fresh, newest, err := f.cfg.Ledger.CreatedSince(ctx, f.newest.Add(-skew))
	if err != nil {
		return err
	}
	for _, id := range fresh {
		f.active[id] = true
	}
	if newest.After(f.newest) {
		f.newest = newest
	}
	return f.bring(ctx, slices.Sorted(maps.Keys(f.active)))
}

// bring appends what the trails of the jobs have beyond the cursors.
func (f *follower) bring(ctx context.Context, jobs []string) error {
	for some := range slices.Chunk(jobs, jobsAtOnce) {
		for len(some) > 0 {
			longer, err := f.page(ctx, some)
			if err != nil {
				return err
			}
			some = longer
		}
	}
	return nil
}

// page appends the next entries of some trails and returns those that have more.
func (f *follower) page(ctx context.Context, jobs []string) (longer []string, err error) {
	trails, err := f.cfg.Ledger.Trails(ctx, jobs, f.cursors, entriesAtOnce)
	if err != nil {
		return nil, err
	}
	var lines []byte
	moved := map[string]string{}
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		if err := f.file.append(lines); err != nil {
			return err
		}
		err := f.move(ctx, moved)
		lines, moved = lines[:0], map[string]string{}
		return err
	}
	for i, job := range jobs {
		if len(trails[i]) > 0 {
			f.active[job] = true
		}
		if len(trails[i]) == entriesAtOnce {
			longer = append(longer, job)
		}
		for _, entry := range trails[i] {
			lines = append(lines, line(entry)...)
			moved[job] = entry.ID
			if len(lines) >= writeAtOnce {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return longer, flush()
}

// line is an entry as it stands in the file.
func line(t ledger.TrailEntry) string { return `{"seq":"` + t.ID + `",` + t.JSON[1:] + "\n" }
