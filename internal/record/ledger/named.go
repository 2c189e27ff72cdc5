package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/tasks"
)

// Naming lists the jobs in whose records or trails one of the people is named, whether they have ended or not. It reads everything that Redis has of jobs.
func (l *Ledger) Naming(ctx context.Context, names forget.Names) ([]string, error) {
	quoted := names.Quoted()
	found := map[string]bool{}
	err := l.scan(ctx, jobKeyPrefix+"*", func(some []string) error {
		data := make([]redis.Cmder, len(some))
		if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, key := range some {
				data[i] = readKey(ctx, p, key)
			}
			return nil
		}); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i, key := range some {
			jobID, suffix, _ := strings.Cut(strings.TrimPrefix(key, jobKeyPrefix), "}")
			named, err := isNamed(names, quoted, suffix, data[i])
			if err != nil {
				return fmt.Errorf("job %s: %w", jobID, err)
			}
			if named || suffix == ":audit" && isNamedAfter(names, jobID) {
				found[jobID] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for people in the records: %w", err)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// isNamedAfter reports whether a job id that somebody made up names one of the people.
func isNamedAfter(names forget.Names, jobID string) bool {
	return names.JobID(jobID) != jobID && !tasks.IsGeneratedJobID(jobID)
}

// jobKeyPrefix begins every key of a job.
const jobKeyPrefix = "unrole:job:{"

func readKey(ctx context.Context, p redis.Pipeliner, key string) redis.Cmder {
	switch _, suffix, _ := strings.Cut(key, "}"); suffix {
	case ":seen", ":asked":
		return p.Get(ctx, key)
	case ":audit":
		return p.XRange(ctx, key, "-", "+")
	default:
		return p.HGetAll(ctx, key)
	}
}

// isNamed reports whether the data of a job's key has one of the people. It may say so of a word that only looks like one.
func isNamed(names forget.Names, quoted []string, suffix string, data redis.Cmder) (bool, error) {
	if errors.Is(data.Err(), redis.Nil) {
		return false, nil // gone since the scan
	}
	switch d := data.(type) {
	case *redis.StringCmd:
		if suffix == ":asked" {
			return names.Text(d.Val()) != d.Val(), nil
		}
		_, changed, err := eraseSnapshot([]byte(d.Val()), names)
		return changed, err
	case *redis.XMessageSliceCmd:
		return slices.ContainsFunc(d.Val(), func(x redis.XMessage) bool {
			text := trailEntry("", x).JSON
			return names.JSON(text, auditTexts...) != text
		}), nil
	case *redis.MapStringStringCmd:
		for field, value := range d.Val() {
			switch suffix {
			case "":
				if slices.Contains(jobTexts, field) && names.Text(value) != value {
					return true, nil
				}
			case ":parts":
				if slices.ContainsFunc(quoted, func(q string) bool { return strings.Contains(value, q) }) {
					return true, nil
				}
			default:
				if names.JSON(value, "msg", "why", "errmsg") != value || suffix == ":bad" && isBadField(names, field) {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// isBadField reports whether a field among the ids of a job is of one of the people.
func isBadField(names forget.Names, field string) bool {
	id, isUser := strings.CutPrefix(field, UserField(""))
	if !isUser {
		id, isUser = strings.CutPrefix(field, staysField(""))
	}
	return isUser && names[id] != ""
}

// Drafts lists the ids of the lists that wait in the console for somebody's confirmation and have one of the people.
func (l *Ledger) Drafts(ctx context.Context, names forget.Names) ([]string, error) {
	const prefix = "unrole:draft:"
	var ids []string
	err := l.scan(ctx, prefix+"*", func(some []string) error {
		for _, key := range some {
			draft, err := l.rdb.HGetAll(ctx, key).Result()
			if err != nil {
				return err
			}
			for _, text := range draft {
				if names.Text(text) != text {
					ids = append(ids, strings.TrimPrefix(key, prefix))
					break
				}
			}
		}
		return nil
	})
	slices.Sort(ids)
	return slices.Compact(ids), wrapped("look for people in lists that wait", err)
}

// EraseGuards puts stand-ins in the place of people among those who count against the limits of a day, and returns how many
// limits had one of them; dryRun counts only. That many people still count.
func (l *Ledger) EraseGuards(ctx context.Context, names forget.Names, dryRun bool) (int, error) {
	n := 0
	err := l.scan(ctx, "unrole:guard:*", func(some []string) error {
		for _, key := range some {
			for id, instead := range names {
				score, err := l.rdb.ZScore(ctx, key, id).Result()
				if errors.Is(err, redis.Nil) {
					continue
				}
				if err == nil {
					n++
				}
				if err == nil && !dryRun {
					_, err = l.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
						p.ZAdd(ctx, key, redis.Z{Score: score, Member: instead})
						p.ZRem(ctx, key, id)
						return nil
					})
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	return n, wrapped("erase people of the limits of a day", err)
}

// scan visits all keys of a pattern, some at a time, each at least once; the calls come one after the other.
func (l *Ledger) scan(ctx context.Context, pattern string, visit func(some []string) error) error {
	const atOnce = 500
	var one sync.Mutex
	node := func(ctx context.Context, node redis.Cmdable) error {
		for cursor := uint64(0); ; {
			some, next, err := node.Scan(ctx, cursor, pattern, atOnce).Result()
			if err == nil && len(some) > 0 {
				one.Lock()
				err = visit(some)
				one.Unlock()
			}
			if err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	if cluster, ok := l.rdb.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, n *redis.Client) error { return node(ctx, n) })
	}
	return node(ctx, l.rdb)
}
