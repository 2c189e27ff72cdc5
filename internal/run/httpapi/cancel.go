package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/unrole/unrole/internal/record/ledger"
)

// cancel is DELETE /v1/removals/{job_id}: what the job has not begun is never done. Again gives the same answer.
func (a *API) cancel(w http.ResponseWriter, r *http.Request) error {
	who, err := a.authenticate(w, r)
	if err != nil {
		return err
	}
	job, err := a.lookUp(r)
	if err != nil {
		return err
	}
	why := r.URL.Query().Get("reason")
	switch {
	case why == "":
		why = "cancelled by its sender"
	case !utf8.ValidString(why):
		return newProblem(http.StatusBadRequest, "invalid-request", "reason is not valid UTF-8")
	default:
		if err := prose(&why)(why); err != nil {
			return newProblem(http.StatusBadRequest, "invalid-request", "reason: %v", err)
		}
	}
	ctx, end := a.storing(r)
	defer end()
	job, err = a.cfg.Ledger.Cancel(ctx, job.JobID, "api:"+who.name, why)
	var finished *ledger.FinishedError
	var submitting *ledger.SubmittingError
	var vanished *ledger.NotFoundError
	switch {
	case errors.As(err, &finished):
		return newProblem(http.StatusConflict, "finished", "%v", err)
	case errors.As(err, &submitting):
		return newProblem(http.StatusServiceUnavailable, "unavailable", "job %s is being submitted just now", submitting.JobID).after(time.Second)
	case errors.As(err, &vanished):
		return newProblem(http.StatusNotFound, "not-found", "%v", err)
	case err != nil:
		return err
	}
	a.cfg.Log.Info().Str("job", job.JobID).Str("caller", who.name).Int64("cancelled", job.Pairs.Cancelled).Msg("job cancelled")
	writeJSON(w, http.StatusOK, "application/json", job)
	return nil
}

// storing is for what is stored of a request: a client that hangs up in the middle leaves no half of it.
func (a *API) storing(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), a.cfg.StoreTimeout)
}

// order reads the body of a request that needs a token: a signature covers the body only, and an old message could be sent to
// another address again. release is to be called at its end.
func (a *API) order(w http.ResponseWriter, r *http.Request) (who caller, body []byte, release func(), err error) {
	if p := wantJSON(r); p != nil {
		return who, nil, nil, p
	}
	if who, err = a.authenticate(w, r); err != nil {
		return who, nil, nil, err
	}
	if _, body, err = a.read(w, r); err != nil {
		return who, nil, nil, err
	}
	release, err = a.work(r.Context())
	return who, body, release, err
}

// cancellation is the answer to POST /v1/cancellations.
type cancellation struct {
	// Cancelled counts the pairs that were taken back.
	Cancelled int64          `json:"cancelled"`
	Jobs      []ledger.Stays `json:"jobs"`
}

// cancelUsers is POST /v1/cancellations: nothing that has not begun is done to these people, by whichever job.
func (a *API) cancelUsers(w http.ResponseWriter, r *http.Request) error {
	who, body, release, err := a.order(w, r)
	if err != nil {
		return err
	}
	defer release()
	var users []string
	reason := "cancelled for the person"
	if p := walk(trimMark(body), func(r *reader) error {
		return r.object("", []string{"user_ids"}, map[string]func(string) error{
			"user_ids": func(at string) error {
				return r.list(at, func(at string) error {
					return r.text(at, func(id string) error {
						users = append(users, id)
						return checkUser(id)
					})
				})
			},
			"reason": func(at string) error { return r.text(at, prose(&reason)) },
		})
	}); p != nil {
		return p
	}
	if len(users) > a.cfg.MaxUsers {
		return newProblem(http.StatusUnprocessableEntity, "guard", "%d users are named, at most %d are possible: split the request into several", len(users), a.cfg.MaxUsers)
	}
	ctx, end := a.storing(r)
	defer end()
	jobs, err := a.cfg.Ledger.CancelUsers(ctx, users, "api:"+who.name, reason)
	if err != nil {
		return err
	}
	answer := cancellation{Jobs: make([]ledger.Stays, 0, len(jobs))}
	for _, job := range jobs {
		answer.Jobs = append(answer.Jobs, job)
		answer.Cancelled += job.Cancelled
	}
	a.cfg.Log.Info().Str("caller", who.name).Int("users", len(users)).Int("jobs", len(jobs)).Int64("cancelled", answer.Cancelled).Msg("people taken out of jobs")
	writeJSON(w, http.StatusOK, "application/json", answer)
	return nil
}
