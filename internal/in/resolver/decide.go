package resolver

import (
	"context"
	"errors"
	"fmt"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// decide looks up what a job means, and refuses it, ends it, or submits it.
func (r *Resolver) decide(ctx context.Context, d *directory.Directory, job ledger.Job, request *asked.Request, lead lease.Fence) error {
	seen, err := preflight.Run(ctx, d, preflight.Request{Rows: request.Rows(), Keep: request.Keep, MaxShare: r.cfg.MaxShare, Discreet: true})
	var role *preflight.RoleError
	switch {
	case errors.As(err, &role):
		row := snapshot.Unresolved{Pointer: "/keep_roles", Reason: snapshot.UnknownRole, Detail: role.Error()}
		if len(role.Fit) > 0 {
			row.Reason = snapshot.AmbiguousRole
		}
		return r.refuse(ctx, job, lead, texts.T("a role that is to be kept is not known"), &snapshot.Snapshot{SeenAt: d.Since(), Rows: []snapshot.Unresolved{row}})
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	}
	seen.Snapshot.Rows = unresolved(request, seen.Problems)
	if n := len(seen.Snapshot.Rows); n > 0 && !request.SkipUnresolved {
		return r.refuse(ctx, job, lead, texts.T("people or roles are not certain (%d)", n), seen.Snapshot)
	}
	if seen.Removals.Pairs() == 0 {
		return r.cfg.Ledger.EndAsked(ctx, job.JobID, lead, "", seen.Snapshot)
	}
	s := enqueue.Submission{Removals: seen.Removals, JobID: job.JobID, Source: job.Source, Reason: job.Reason, Priority: job.Priority,
		SubmittedBy: job.SubmittedBy, MaxUsers: -1, Simulated: job.Simulated, Snapshot: seen.Snapshot}
	if job.At != nil {
		s.At = *job.At
	}
	// Before anything is counted for the day: of what is refused nothing is.
	if p := r.cfg.Protected; p != nil {
		if err := s.Removals.CheckProtected(p); err != nil {
			return r.refuse(ctx, job, lead, texts.T("%v", err), seen.Snapshot)
		}
	}
	tooMany, counted, err := r.cfg.Ledger.MustWait(ctx, "", job.Source, seen.Removals.Users(), request.MaxUsersPerDay)
	if err != nil {
		return err
	}
	if tooMany {
		r.cfg.Log.Warn().Str("job", job.JobID).Str("source", job.Source).Int64("users", counted).Msg("the source has submitted more users than a day may have: the job waits for approval")
	}
	s.AwaitApproval = tooMany || len(seen.Shares) > 0
	_, err = r.cfg.Client.Submit(ledger.LookedUp(ctx, lead), s)
	return err
}

// refuse ends a job of which nothing is removed.
func (r *Resolver) refuse(ctx context.Context, job ledger.Job, lead lease.Fence, why texts.Text, seen *snapshot.Snapshot) error {
	seen.NotHeld, seen.Scopes = nil, nil // it asks for no pair
	r.cfg.Log.Info().Str("job", job.JobID).Int("unresolved", len(seen.Rows)).Msg("the job is refused")
	return r.cfg.Ledger.EndAsked(ctx, job.JobID, lead, why.String(), seen)
}

// unresolved says where in the request the problems are. A role that many people share is named once.
func unresolved(request *asked.Request, problems []preflight.Problem) []snapshot.Unresolved {
	var rows []snapshot.Unresolved
	type role struct {
		element int
		detail  string
	}
	named, place := map[role]bool{}, request.Places()
	for _, p := range problems {
		element, pointer := place(p.Line)
		row := snapshot.Unresolved{Pointer: pointer, Reason: p.Reason, Detail: p.Why.In(texts.English)}
		if p.OfRole {
			if named[role{element, row.Detail}] {
				continue
			}
			named[role{element, row.Detail}] = true
			row.Pointer = fmt.Sprintf("/removals/%d", element)
		}
		for _, c := range p.Candidates {
			row.Candidates = append(row.Candidates, snapshot.Candidate(c))
		}
		rows = append(rows, row)
	}
	return rows
}
