package leavers

import (
	"context"
	"fmt"
	"slices"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/directory"
)

// begin lets jobs begin that are due. Their people are looked at once more: who stays or is back loses nothing, and of the others
// exactly what they hold now is taken.
func (p *Poller) begin(ctx context.Context, due []waits) error {
	if len(due) == 0 {
		return nil
	}
	d, err := directory.New(p.cfg.Source, p.cfg.QPS)
	if err != nil {
		return err
	}
	ids := make([]string, len(due))
	for i, w := range due {
		ids[i] = w.user
	}
	people, err := again(ctx, d, ids, nil)
	if err != nil {
		return err
	}
	if due, err = p.keep(ctx, people, due); err != nil {
		return err
	}
	due = slices.DeleteFunc(due, func(w waits) bool {
		hidden := slices.ContainsFunc(people, func(l Leaver) bool { return l.UserID == w.user && l.Hidden })
		if hidden {
			p.cfg.Log.Warn().Str("job", w.job.JobID).Msg("a leaver's job waits: the person is out of the app's contact scope, and nothing is certain")
		}
		return hidden
	})
	if len(due) == 0 {
		return nil
	}
	all, _, err := held(ctx, d, people, p.rule.Keep, 1, p.cfg.Protected)
	if err != nil {
		return err
	}
	for _, w := range due {
		h, holds := all[w.user]
		if !holds {
			if _, err := p.cancel(ctx, w.job.JobID, "holds none of the roles any more"); err != nil {
				return err
			}
			continue
		}
		if h.Removals.Digest() != w.digest {
			first, err := p.cancel(ctx, w.job.JobID, "holds other roles by now: a job of the same name with the next number takes them")
			if err != nil {
				return err
			}
			if !first {
				continue // somebody cancelled it, for a reason that this look knows nothing of
			}
			if w, err = p.replace(ctx, w, h); err != nil {
				return err
			}
		}
		if _, err := p.cfg.Client.Begin(ctx, w.job.JobID, Source, "is leaving, looked at again"); err != nil {
			return err
		}
	}
	return nil
}

// replace submits a job anew whose person holds other roles by now.
func (p *Poller) replace(ctx context.Context, w waits, h Held) (waits, error) {
	id, err := p.free(ctx, baseOf(w.job.JobID))
	if err != nil {
		return w, err
	}
	if id == "" {
		return w, fmt.Errorf("job %s was replaced meanwhile", w.job.JobID)
	}
	done, err := p.cfg.Client.Submit(ctx, enqueue.Submission{Removals: h.Removals, Snapshot: h.Snapshot, JobID: id, Source: Source, SubmittedBy: Source,
		Reason: w.job.Reason, At: *w.job.At, LastLook: true})
	return waits{job: done.Job, user: w.user}, err
}
