package ledger

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/unrole/unrole/tasks"
)

// Filter says which jobs somebody looks for; an empty field asks for nothing.
type Filter struct {
	States  []State
	Sources []string
	// UserIDs are people of whom the job was asked about one at least.
	UserIDs []string
}

// Look is a job that was looked at.
type Look struct {
	Job Job
	// Found says that it is one of those that are looked for.
	Found bool
	// Place is where Find goes on behind it.
	Place string
}

// Find looks at jobs, the most recent first, behind a place where an earlier look with the same filter stopped; the empty
// place is the beginning. Where only unfinished jobs are asked for, no other is looked at. Jobs that come in meanwhile are not
// among them. It ends at the first error; a place that is none gives a *PlaceError.
func (l *Ledger) Find(ctx context.Context, f Filter, behind string) iter.Seq2[Look, error] {
	return func(yield func(Look, error) bool) {
		from, err := parsePlace(behind)
		if err != nil {
			yield(Look{}, err)
			return
		}
		index := indexKey
		if len(f.States) > 0 && !slices.ContainsFunc(f.States, State.Finished) {
			index = openKey
			if err := l.index(ctx); err != nil {
				yield(Look{}, fmt.Errorf("index the open jobs: %w", err))
				return
			}
		}
		for page, err := range l.places(ctx, index, from) {
			var records []map[string]string
			if err == nil {
				records, err = l.records(ctx, idsOf(page))
			}
			if err != nil {
				yield(Look{}, err)
				return
			}
			for i, fields := range records {
				if len(fields) == 0 {
					continue
				}
				look := Look{Job: l.job(page[i].id, fields), Place: page[i].String()}
				if look.Found, err = l.matches(ctx, f, look.Job); err != nil {
					yield(Look{}, err)
					return
				}
				if !yield(look, nil) {
					return
				}
			}
		}
	}
}

func (l *Ledger) matches(ctx context.Context, f Filter, job Job) (bool, error) {
	if len(f.States) > 0 && !slices.Contains(f.States, job.State) || len(f.Sources) > 0 && !slices.Contains(f.Sources, job.Source) {
		return false, nil
	}
	if len(f.UserIDs) == 0 {
		return true, nil
	}
	concerned, err := l.concerned(ctx, job.JobID, f.UserIDs, 1)
	return len(concerned) > 0, err
}

// place is where a job stands in an index.
type place struct {
	at int64 // its score, in µs
	id string
}

func (p place) String() string { return strconv.FormatInt(p.at, 10) + "-" + p.id }

// PlaceError says that a text is no place of an index of jobs.
type PlaceError struct{ Text string }

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%.80q is not where a page ended: take what the page before it gave", e.Text)
}

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	at, id, _ := strings.Cut(s, "-")
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || n <= 0 || tasks.ValidateJobID(id) != nil {
		return place{}, &PlaceError{s}
	}
	return place{n, id}, nil
}

func idsOf(places []place) []string {
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.id
	}
	return ids
}
