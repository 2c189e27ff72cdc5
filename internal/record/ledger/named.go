package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/tasks"
)

// Named says how a job has something of the people. Neither is true of one whose id may name them, which its record knows.
type Named struct {
	// Sure is a place that names one of them, Doubtful one that may name somebody else as well.
	Sure, Doubtful bool
}

// Naming lists the jobs in whose ids, records or trails one of the people is or may be named, whether they have ended or not. It
// reads everything that Redis has of jobs.
func (l *Ledger) Naming(ctx context.Context, names forget.Names) (map[string]Named, error) {
	quoted := names.Quoted()
	found := map[string]Named{}
	note := func(jobID string, n Named) {
		if have, known := found[jobID]; known || n != (Named{}) || names.Fits(jobID) != forget.FitNot {
			found[jobID] = Named{Sure: have.Sure || n.Sure, Doubtful: have.Doubtful || n.Doubtful}
		}
	}
	err := redisconn.Scan(ctx, l.rdb, jobKeyPrefix+"*", func(some []string) error {
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
			named, err := namedIn(names, quoted, suffix, data[i])
			if err != nil {
				return fmt.Errorf("job %s: %w", jobID, err)
			}
			note(jobID, named)
		}
		return nil
	})
	// An id may be left in an index where its record and its trail are gone.
	for _, index := range indexes {
		if err != nil {
			break
		}
		for page, failed := range l.names(ctx, index) {
			for _, jobID := range page {
				note(jobID, Named{})
			}
			err = failed
		}
	}
	return found, wrapped("look for people in the records", err)
}

// indexes are the sorted sets that have ids of jobs.
var indexes = []string{indexKey, openKey, restoresKey, resolvingKey(tasks.QueueUrgent), resolvingKey(tasks.QueueDefault), resolvingKey(tasks.QueueBulk)}

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

// namedIn says how the data of a job's key has one of the people. It may be sure of a word that only looks like one.
func namedIn(names forget.Names, quoted []string, suffix string, data redis.Cmder) (n Named, err error) {
	if errors.Is(data.Err(), redis.Nil) {
		return n, nil // gone since the scan
	}
	note := func(sure, doubtful bool) { n = Named{n.Sure || sure, n.Doubtful || doubtful} }
	inJSON := func(text string, keys ...string) {
		note(names.JSON(text, keys...) != text, names.DoubtsJSON(text, keys...))
	}
	switch d := data.(type) {
	case *redis.StringCmd:
		if suffix == ":asked" {
			note(names.Text(d.Val()) != d.Val(), names.Doubts(d.Val()))
			return n, nil
		}
		_, changed, err := eraseSnapshot([]byte(d.Val()), names)
		note(changed, false)
		return n, err
	case *redis.XMessageSliceCmd:
		for _, x := range d.Val() {
			inJSON(trailEntry("", x).JSON, auditTexts...)
		}
	case *redis.MapStringStringCmd:
		for field, value := range d.Val() {
			switch suffix {
			case "":
				if slices.Contains(jobTexts, field) {
					note(names.Value(field, value) != value, names.DoubtsValue(field, value))
				}
			case ":parts":
				note(slices.ContainsFunc(quoted, func(q string) bool { return strings.Contains(value, q) }), false)
			default:
				inJSON(value, "msg", "why", "errmsg")
				note(suffix == ":bad" && isBadField(names, field), false)
			}
		}
	}
	return n, nil
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
	err := redisconn.Scan(ctx, l.rdb, prefix+"*", func(some []string) error {
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
	err := redisconn.Scan(ctx, l.rdb, "unrole:guard:*", func(some []string) error {
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
