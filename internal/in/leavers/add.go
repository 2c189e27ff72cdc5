package leavers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/record/ledger"
)

// add submits jobs for leavers who have none; jobs are those that waited when they were looked at.
func (p *Poller) add(ctx context.Context, d *directory.Directory, people []Leaver, jobs []waits) ([]waits, error) {
	var fresh, proposed []Leaver
	var failed []error
	ids := map[string][]string{}
	for _, l := range people {
		if slices.ContainsFunc(jobs, func(w waits) bool { return w.user == l.UserID && w.job.Awaiting == ledger.AwaitingApproval }) {
			proposed = append(proposed, l)
		}
		base := p.rule.JobID(l.UserID, l.LastDay)
		if !p.rule.New(l, p.cfg.Now()).Act || slices.ContainsFunc(jobs, func(w waits) bool { return baseOf(w.job.JobID) == base }) {
			continue
		}
		free, err := p.free(ctx, base)
		if err != nil {
			failed = append(failed, err)
		}
		if len(free) > 0 {
			fresh, ids[l.UserID] = append(fresh, l), free
		}
	}
	if len(fresh) == 0 {
		return nil, errors.Join(failed...)
	}
	// Those who were proposed before and not approved count as well: a look that was interrupted has made some of the proposals.
	all, shares, err := held(ctx, d, slices.Concat(proposed, fresh), p.rule.Keep, p.cfg.MaxShare, p.cfg.Protected)
	if err != nil {
		return nil, errors.Join(append(failed, err)...)
	}
	propose := !p.rule.Automatic || shares || len(all) > p.rule.MaxUsers
	if propose && p.rule.Automatic {
		p.cfg.Log.Warn().Int("people", len(all)).Bool("large_share", shares).Msg("more leavers at once than the rule lets through, or more of a role's holders than UNROLE_MAX_SHARE: somebody has to approve their jobs")
	}
	var added []waits
	for _, l := range fresh {
		h, holds := all[l.UserID]
		if !holds {
			continue
		}
		reason := "last working day " + p.rule.Day(l.LastDay).Format(time.DateOnly) + ", by DingTalk's HR"
		w, err := p.submit(ctx, ids[l.UserID], l.UserID, h, reason, p.rule.Due(l.LastDay), propose)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		added = append(added, w)
	}
	return added, errors.Join(failed...)
}

// submit submits somebody's job under the first of some ids, or where that is of other content under the next.
func (p *Poller) submit(ctx context.Context, ids []string, user string, h Held, reason string, at time.Time, propose bool) (_ waits, err error) {
	ctx, span := p.cfg.Trace.Leaver(ctx)
	defer func() { span.End(err != nil) }()
	for i, id := range ids {
		done, err := p.cfg.Client.Submit(ctx, enqueue.Submission{Removals: h.Removals, Snapshot: h.Snapshot, JobID: id, Source: Source, SubmittedBy: Source,
			Reason: reason, At: at, AwaitApproval: propose, LastLook: true})
		var conflict *ledger.ConflictError
		if errors.As(err, &conflict) && i+1 < len(ids) {
			continue
		}
		if err != nil {
			return waits{}, fmt.Errorf("submit job %s: %w", id, err)
		}
		if propose && done.Job.Awaiting != ledger.AwaitingApproval {
			// It was interrupted when nobody had to approve it.
			if _, err := p.cancel(ctx, id, "by the rule somebody has to approve it"); err != nil {
				return waits{}, err
			}
			continue
		}
		p.cfg.Log.Info().Str("job", id).Bool("proposed", propose).Time("at", at).Msg("a leaver's job was submitted")
		return p.pairsOf(ctx, done.Job)
	}
	return waits{}, fmt.Errorf("job %s is submitted by somebody else", ids[0])
}

// free are the ids under which a leaver's job may be submitted, to be tried in turn; none where there is a job already, or somebody
// cancelled it.
func (p *Poller) free(ctx context.Context, base string) (ids []string, err error) {
	for n := 1; ; n++ {
		id := generation(base, n)
		job, err := p.cfg.Ledger.Get(ctx, id)
		var unknown *ledger.NotFoundError
		switch {
		case errors.As(err, &unknown):
			last, err := p.lastWord(ctx, id)
			if errors.As(err, &unknown) {
				return append(ids, id), nil
			}
			if err != nil {
				return nil, err
			}
			if last.Event != ledger.EventCancelled || last.By != Source {
				return nil, nil
			}
			ids = nil
		case err != nil:
			return nil, err
		case job.Planning && own(job):
			ids = []string{id} // interrupted: the same submission completes it
		case job.CancelledAt == nil || job.CancelledBy != Source:
			return nil, nil
		default:
			ids = nil
		}
	}
}

// lastWord is what was said of a job at the end, by its audit trail, which outlives the record.
func (p *Poller) lastWord(ctx context.Context, id string) (last ledger.Entry, err error) {
	err = p.cfg.Ledger.Trail(ctx, id, "", func(t ledger.TrailEntry) error {
		e, err := t.Entry()
		if err == nil && e.Event == ledger.EventSettled {
			return nil // what came of it
		}
		last = e // one that cannot be read is nobody's word, and no cancel by Source
		return nil
	})
	return last, err
}
