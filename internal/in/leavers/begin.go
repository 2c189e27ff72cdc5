package leavers

import (
	"context"
	"errors"
	"slices"

	"github.com/unrole/unrole/internal/record/ledger"
)

// begin lets those of the jobs begin that are due. Their people are looked at once more: who stays or is back loses nothing, and of the
// others exactly what they hold now is taken.
func (p *Poller) begin(ctx context.Context, jobs []waits) error {
	due := slices.DeleteFunc(slices.Clone(jobs), func(w waits) bool {
		return w.job.Awaiting != ledger.AwaitingLastLook || w.job.At.After(p.cfg.Now())
	})
	if len(due) == 0 {
		return nil
	}
	d := p.cfg.Directory.Fresh()
	ids := make([]string, len(due))
	for i, w := range due {
		ids[i] = w.user
	}
	people, err := each(ctx, d, ids, nil)
	if err != nil {
		return err
	}
	due, keepErr := p.keep(ctx, people, due)
	due = slices.DeleteFunc(due, func(w waits) bool {
		hidden := slices.ContainsFunc(people, func(l Leaver) bool { return l.UserID == w.user && l.Hidden })
		if hidden {
			p.cfg.Log.Warn().Str("job", w.job.JobID).Msg("a leaver's job waits: the person is out of the app's contact scope, and nothing is certain")
		}
		return hidden
	})
	if len(due) == 0 {
		return keepErr
	}
	all, _, err := held(ctx, d, people, p.rule.Keep, 1, p.cfg.Protected)
	if err != nil {
		return errors.Join(keepErr, err)
	}
	failed := []error{keepErr}
	for _, w := range due {
		failed = append(failed, p.beginOne(ctx, w, all[w.user]))
	}
	return errors.Join(failed...)
}

// beginOne lets a job begin of somebody who holds so much.
func (p *Poller) beginOne(ctx context.Context, w waits, h Held) error {
	if h.Removals == nil {
		_, err := p.cancel(ctx, w.job.JobID, "holds none of the roles any more")
		return err
	}
	more := slices.ContainsFunc(h.Removals.Roles(), func(role int64) bool { return !w.roles[role] })
	if more || len(h.Removals.Roles()) != len(w.roles) {
		first, err := p.cancel(ctx, w.job.JobID, "holds other roles by now: a job of the same name with the next number takes them")
		if err != nil || !first {
			return err // where somebody else cancelled it, this look knows nothing of the reason
		}
		ids, err := p.free(ctx, baseOf(w.job.JobID))
		if err != nil || len(ids) == 0 {
			return err
		}
		// Somebody's yes is for the roles of then, or some of them.
		propose := more && w.job.ApprovedAt != nil
		if w, err = p.submit(ctx, ids, w.user, h, w.job.Reason, *w.job.At, propose); err != nil {
			return err
		}
		if propose {
			p.cfg.Log.Warn().Str("job", w.job.JobID).Msg("a leaver holds more roles than were approved: somebody has to approve it again")
			return nil
		}
	}
	_, err := p.cfg.Client.Begin(ctx, w.job.JobID, Source, "is leaving, looked at again")
	var other *ledger.NotAwaitingError
	if errors.As(err, &other) {
		return nil // cancelled meanwhile, or begun
	}
	return err
}
