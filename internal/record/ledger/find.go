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
		index := indexKey
		if len(f.States) > 0 && !slices.ContainsFunc(f.States, State.Finished) {
			index = openKey
			if err := l.index(ctx, indexedFor); err != nil {
				yield(Look{}, err)
				return
			}
		}
		for page, err := range l.looks(ctx, index, behind) {
			var match map[string]bool
			if err == nil {
				match, err = l.matching(ctx, f, page)
			}
			if err != nil {
				yield(Look{}, err)
				return
			}
			for _, look := range page {
				if look.Found = match[look.Job.JobID]; look.Found && len(f.UserIDs) > 0 {
					concerned, err := l.concerned(ctx, look.Job.JobID, f.UserIDs, 1)
					if err != nil {
						yield(Look{}, err)
						return
					}
					look.Found = len(concerned) > 0
				}
				if !yield(look, nil) {
					return
				}
			}
		}
	}
}

// looks yields the jobs of an index in pages, the highest score first, behind the place of one; the empty place is the beginning. Names
// without a record, of jobs whose retention has passed, are left out.
func (l *Ledger) looks(ctx context.Context, index, behind string) iter.Seq2[[]Look, error] {
	return func(yield func([]Look, error) bool) {
		from, err := parsePlace(behind)
		if err != nil {
			yield(nil, err)
			return
		}
		for page, err := range l.places(ctx, index, from) {
			var records []map[string]string
			if err == nil {
				records, err = l.records(ctx, idsOf(page))
			}
			if err != nil {
				yield(nil, err)
				return
			}
			var looks []Look
			for i, fields := range records {
				if len(fields) > 0 {
					looks = append(looks, Look{Job: l.job(page[i].id, fields), Place: page[i].String()})
				}
			}
			if !yield(looks, nil) {
				return
			}
		}
	}
}

func jobsOf(looks []Look) []Job {
	jobs := make([]Job, len(looks))
	for i, look := range looks {
		jobs[i] = look.Job
	}
	return jobs
}

// matching are those of the jobs, a page of them, that the filter asks for, or may ask for where it asks for people.
func (l *Ledger) matching(ctx context.Context, f Filter, page []Look) (map[string]bool, error) {
	found := slices.DeleteFunc(jobsOf(page), func(job Job) bool {
		return len(f.States) > 0 && !slices.Contains(f.States, job.State) || len(f.Sources) > 0 && !slices.Contains(f.Sources, job.Source)
	})
	if len(f.UserIDs) > 0 {
		var err error
		if found, err = l.naming(ctx, found, func(user string) bool { return slices.Contains(f.UserIDs, user) }); err != nil {
			return nil, err
		}
	}
	match := map[string]bool{}
	for _, job := range found {
		match[job.JobID] = true
	}
	return match, nil
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
