package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The trail of a job, and the jobs by time of creation; see package ledger.
const (
	trailPrefix, trailSuffix = "unrole:job:{", "}:audit"
	indexKey                 = "unrole:jobs"
)

const (
	// jobsAtOnce and entriesAtOnce bound one round trip.
	jobsAtOnce, entriesAtOnce = 100, 200
	// writeAtOnce is what is written between two moves of the cursors, roughly; it is far below tailSize.
	writeAtOnce = 256 << 10
)

// follow brings the file up to date: every job at a sweep, else those that move.
func (f *follower) follow(ctx context.Context) error {
	if sweep := time.Since(f.swept) >= f.cfg.Sweep; sweep {
		all, err := f.allTrails(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		f.active = map[string]bool{}
		if err := f.bring(ctx, all); err != nil {
			return err
		}
		f.swept = began
		return nil
	}
	fresh, err := f.cfg.Redis.ZRangeByScoreWithScores(ctx, indexKey, &redis.ZRangeBy{Min: score(f.newest), Max: "+inf"}).Result()
	if err != nil {
		return fmt.Errorf("look for new jobs: %w", err)
	}
	for _, z := range fresh {
		f.active[z.Member.(string)] = true
		f.newest = max(f.newest, z.Score)
	}
	return f.bring(ctx, slices.Sorted(maps.Keys(f.active)))
}

func score(newest float64) string {
	// The clocks of submitters differ a little.
	return strconv.FormatFloat(newest-float64(time.Minute/time.Microsecond), 'f', 0, 64)
}

// allTrails lists every job that has a trail, also when its record is gone.
func (f *follower) allTrails(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	scan := func(ctx context.Context, node redis.UniversalClient) error {
		it := node.Scan(ctx, 0, trailPrefix+"*"+trailSuffix, 1000).Iterator()
		for it.Next(ctx) {
			found[strings.TrimSuffix(strings.TrimPrefix(it.Val(), trailPrefix), trailSuffix)] = true
		}
		return it.Err()
	}
	var err error
	if cluster, ok := f.cfg.Redis.(*redis.ClusterClient); ok {
		// One after another: the map has no lock.
		turn := make(chan struct{}, 1)
		err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			turn <- struct{}{}
			defer func() { <-turn }()
			return scan(ctx, node)
		})
	} else {
		err = scan(ctx, f.cfg.Redis)
	}
	if err != nil {
		return nil, fmt.Errorf("look for audit trails: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// bring appends what the trails of the jobs have beyond the cursors.
func (f *follower) bring(ctx context.Context, jobs []string) error {
	for len(jobs) > 0 {
		some := jobs[:min(jobsAtOnce, len(jobs))]
		jobs = jobs[len(some):]
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
	replies := make([]*redis.XMessageSliceCmd, len(jobs))
	_, err = f.cfg.Redis.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, job := range jobs {
			start := "-"
			if at := f.cursors[job]; at != "" {
				start = "(" + at
			}
			replies[i] = p.XRangeN(ctx, trailPrefix+job+trailSuffix, start, "+", entriesAtOnce)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read audit trails: %w", err)
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
		entries := replies[i].Val()
		if len(entries) > 0 {
			f.active[job] = true
		}
		if len(entries) == entriesAtOnce {
			longer = append(longer, job)
		}
		for _, x := range entries {
			lines = append(lines, line(job, x)...)
			moved[job] = x.ID
			if len(lines) >= writeAtOnce {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return longer, flush()
}

// line is an entry as it stands in the file. What cannot be read is kept as it is.
func line(job string, x redis.XMessage) []byte {
	entry, _ := x.Values["entry"].(string)
	if strings.HasPrefix(entry, "{") && json.Valid([]byte(entry)) && !strings.Contains(entry, "\n") {
		return []byte(`{"seq":"` + x.ID + `",` + entry[1:] + "\n")
	}
	raw, err := json.Marshal(map[string]any{"seq": x.ID, "job_id": job, "unreadable": x.Values})
	if err != nil {
		raw = []byte(fmt.Sprintf(`{"seq":%q,"job_id":%q}`, x.ID, job))
	}
	return append(raw, '\n')
}
