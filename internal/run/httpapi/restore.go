package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// restoreRequest is the body of POST /v1/removals/{job_id}/restore, read and checked.
type restoreRequest struct {
	wish   restore.Wish
	reason string
}

func decodeRestore(body []byte) (*restoreRequest, *problem) {
	req := &restoreRequest{}
	return req, walk(body, func(r *reader) error {
		return r.object("", nil, map[string]func(string) error{
			"job_id": func(at string) error {
				return r.text(at, func(s string) error {
					req.wish.As = s
					return tasks.ValidateJobID(s)
				})
			},
			"reason": func(at string) error { return r.text(at, prose(&req.reason)) },
			"user_ids": func(at string) error {
				return r.list(at, func(at string) error {
					return r.text(at, func(id string) error {
						req.wish.Users = append(req.wish.Users, id)
						return checkUser(id)
					})
				})
			},
			"role_ids": func(at string) error {
				return r.list(at, func(at string) error {
					var one rectangle
					err := r.roleID(at, &one)
					req.wish.Roles = append(req.wish.Roles, one.roles...)
					return err
				})
			},
			"from_removed": func(at string) error { return r.truth(at, &req.wish.FromRemoved) },
			"even_later":   func(at string) error { return r.truth(at, &req.wish.EvenLater) },
		})
	})
}

// restore is POST /v1/removals/{job_id}/restore: what the job took is given back, by a job of its own. 202 for a new one, 200 for
// one that was there.
func (a *API) restore(w http.ResponseWriter, r *http.Request) error {
	who, body, release, err := a.order(w, r)
	if err != nil {
		return err
	}
	defer release()
	id := r.PathValue("job_id")
	if err := tasks.ValidateJobID(id); err != nil {
		return newProblem(http.StatusNotFound, "not-found", "%v", err)
	}
	req, p := decodeRestore(trimMark(body))
	if p != nil {
		return p
	}
	req.wish.JobID = id
	if req.wish.As == "" {
		if req.wish.As, p = jobIDFor(r, who); p != nil {
			return p
		}
	}
	ctx, cancel := a.storing(r)
	defer cancel()
	again, err := restore.Submitted(ctx, a.cfg.Ledger, req.wish)
	if err != nil {
		return req.refusal(err)
	}
	if again != nil {
		answerJob(w, http.StatusOK, *again)
		return nil
	}
	plan, err := restore.Of(ctx, a.cfg.Ledger, req.wish)
	if err != nil {
		return req.refusal(err)
	}
	if err := enqueue.Guard(plan.Removals, a.cfg.MaxUsers); err != nil {
		return req.refusal(err)
	}
	if a.cfg.Protected != nil {
		if err := plan.Removals.CheckProtected(a.cfg.Protected); err != nil {
			return req.refusal(err)
		}
	}
	s := plan.Submission(enqueue.Submission{JobID: req.wish.As, Source: plan.Job.Source, Reason: req.reason, Priority: plan.Job.Priority,
		SubmittedBy: "api:" + who.name, MaxUsers: a.cfg.MaxUsers})
	if s.AwaitApproval, err = a.mustWait(ctx, s); err != nil {
		return err
	}
	done, err := a.cfg.Submitter.Submit(ctx, s)
	if err != nil {
		return req.refusal(err)
	}
	a.cfg.Log.Info().Str("job", done.Job.JobID).Str("restores", id).Str("caller", who.name).Int("pairs", plan.Removals.Pairs()).
		Int("later", len(plan.Later)).Int("back", plan.Back).Int("too_wide", len(plan.TooWide)).Msg("restore submitted")
	answerSubmitted(w, done)
	return nil
}

// refusal is the problem that an error of a restore is.
func (req *restoreRequest) refusal(err error) error {
	var unknown *ledger.NotFoundError
	var unseen *restore.NoSnapshotError
	var nothing *restore.NothingError
	var gave *restore.RestoreError
	var taken *restore.TakenError
	var strangers *restore.StrangersError
	var guard *enqueue.GuardError
	switch {
	case errors.As(err, &unknown):
		return newProblem(http.StatusNotFound, "not-found", "%v", err)
	case errors.As(err, &unseen):
		return newProblem(http.StatusConflict, "no-snapshot", `%v; "from_removed":true gives back what DingTalk said it removed: also roles that somebody did not hold`, err)
	case errors.As(err, &nothing), errors.As(err, &gave):
		return newProblem(http.StatusConflict, "nothing-to-restore", "%v", err)
	case errors.As(err, &taken):
		return newProblem(http.StatusConflict, "conflict", "%v", err)
	case errors.As(err, &guard):
		return newProblem(http.StatusUnprocessableEntity, "guard",
			"%v; nothing was submitted. If they are meant, restore some at a time by user_ids, or have unrole api started with a higher --max-users", err)
	case errors.As(err, &strangers):
		found := &reader{}
		for i, id := range req.wish.Users {
			if slices.Contains(strangers.Users, id) {
				found.fault(fmt.Sprintf("/user_ids/%d", i), "the job is not about user %s", id)
			}
		}
		for i, id := range req.wish.Roles {
			if slices.Contains(strangers.Roles, id) {
				found.fault(fmt.Sprintf("/role_ids/%d", i), "the job is not about role %d", id)
			}
		}
		return found.problem()
	}
	return refusal(err, nil)
}
