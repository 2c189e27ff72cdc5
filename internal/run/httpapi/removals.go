package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/httpserve"
	"github.com/unrole/unrole/tasks"
)

// submit is POST /v1/removals. It answers when Redis has the whole job: 202 for a new one, 200 for one that was there.
func (a *API) submit(w http.ResponseWriter, r *http.Request) error {
	if p := wantJSON(r); p != nil {
		return p
	}
	who, body, err := a.readBody(w, r)
	if err != nil {
		return err
	}
	release, err := a.work(r.Context())
	if err != nil {
		return err
	}
	defer release()
	req, p := decode(body)
	if p != nil {
		return p
	}
	if req.JobID == "" {
		if req.JobID, p = jobIDFor(r, who); p != nil {
			return p
		}
	}
	done, err := a.take(r, req, who)
	if err != nil {
		return err
	}
	answerSubmitted(w, done)
	return nil
}

// take stores a removal, for a worker to look up where it has to be. Its error is a *problem where the removal is refused.
func (a *API) take(r *http.Request, req *removalRequest, who caller) (enqueue.Submitted, error) {
	if a.mustLook(req) {
		return a.ask(r, req, who)
	}
	removals, p := req.removals()
	if p != nil {
		return enqueue.Submitted{}, p
	}
	// Before anything is counted, whatever the submitter checks again.
	if err := enqueue.Guard(removals, a.cfg.MaxUsers); err != nil {
		return enqueue.Submitted{}, refusal(err, req.faultsOf)
	}
	if a.cfg.Protected != nil {
		if err := removals.CheckProtected(a.cfg.Protected); err != nil {
			return enqueue.Submitted{}, refusal(err, req.faultsOf)
		}
	}
	ctx, cancel := a.storing(r)
	defer cancel()
	s := enqueue.Submission{Removals: removals, JobID: req.JobID, Source: req.Source, Reason: req.Reason, Priority: req.Priority,
		At: req.At, SubmittedBy: "api:" + who.name, MaxUsers: a.cfg.MaxUsers}
	var err error
	if s.AwaitApproval, err = a.mustWait(ctx, s); err != nil {
		return enqueue.Submitted{}, err
	}
	done, err := a.cfg.Submitter.Submit(ctx, s)
	if err != nil {
		return done, refusal(err, req.faultsOf)
	}
	return done, nil
}

// answerSubmitted answers when Redis has the whole job: 202 for a new one, 200 for one that was there.
func answerSubmitted(w http.ResponseWriter, done enqueue.Submitted) {
	status := http.StatusAccepted
	if done.Existed {
		status = http.StatusOK
	}
	answerJob(w, status, done.Job)
}

func answerJob(w http.ResponseWriter, status int, job ledger.Job) {
	w.Header().Set("Location", "/v1/removals/"+job.JobID)
	writeJSON(w, status, "application/json", job)
}

// work waits for one of the places to work in.
func (a *API) work(ctx context.Context) (release func(), err error) {
	wait := time.NewTimer(a.cfg.StoreTimeout)
	defer wait.Stop()
	select {
	case a.working <- struct{}{}:
		return func() { <-a.working }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait.C:
		return nil, newProblem(http.StatusServiceUnavailable, "unavailable", "too many requests are under way").after(time.Second)
	}
}

// mustWait says whether the removal is above what its source may submit in a day. A job that is known already was
// counted when it came.
func (a *API) mustWait(ctx context.Context, s enqueue.Submission) (bool, error) {
	wait, counted, err := a.cfg.Ledger.MustWait(ctx, s.JobID, s.Source, s.Removals.Users(), a.cfg.MaxUsersPerDay)
	if wait {
		a.cfg.Log.Warn().Str("source", s.Source).Int64("users_today", counted).Int("users", len(s.Removals.Users())).
			Int("limit", a.cfg.MaxUsersPerDay).Msg("the source submits more users than a day may have: its job waits for approval")
	}
	return wait, err
}

// refusal is the problem that an error of a submission is; faults finds the places of protected ids, if it is not nil.
func refusal(err error, faults func(*enqueue.ProtectedError) []Fault) error {
	var guard *enqueue.GuardError
	var protected *enqueue.ProtectedError
	var conflict *enqueue.ConflictError
	switch {
	case errors.As(err, &guard):
		return newProblem(http.StatusUnprocessableEntity, "guard",
			"%v; nothing was submitted. If they are meant, split the removal into several, or have unrole api started with a higher --max-users", err)
	case errors.As(err, &protected):
		p := newProblem(http.StatusUnprocessableEntity, "protected", "%v; nothing was submitted", err)
		if faults != nil {
			p.Errors = faults(protected)
		}
		return p
	case errors.As(err, &conflict):
		return newProblem(http.StatusConflict, "conflict", "%v", err)
	case errors.Is(err, enqueue.ErrInProgress):
		return newProblem(http.StatusServiceUnavailable, "unavailable", "%v", err).after(time.Second)
	}
	return err
}

// jobIDFor names the job of a request that names none: after its Idempotency-Key, or the signed message it came in.
// A key that is no job id is hashed together with the caller's name. Without either the job gets a new name.
func jobIDFor(r *http.Request, who caller) (string, *problem) {
	key := r.Header.Get("Idempotency-Key")
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1] // the draft standard has it in quotes
	}
	switch {
	case len(key) > 255:
		return "", newProblem(http.StatusBadRequest, "invalid-request", "Idempotency-Key has %d bytes, at most 255 are possible", len(key))
	case key != "" && tasks.ValidateJobID(key) == nil:
		return key, nil
	case key != "":
		return "key-" + digest(who.name, key), nil
	case who.message != "":
		return "message-" + digest(who.name, who.message), nil
	}
	return "", nil
}

// job is GET /v1/removals/{job_id}.
func (a *API) job(w http.ResponseWriter, r *http.Request) error {
	job, err := a.find(w, r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", job)
	return nil
}

func (a *API) find(w http.ResponseWriter, r *http.Request) (ledger.Job, error) {
	if _, err := a.authenticate(w, r); err != nil {
		return ledger.Job{}, err
	}
	return a.lookUp(r)
}

// lookUp finds the job that the address names.
func (a *API) lookUp(r *http.Request) (ledger.Job, error) {
	id := r.PathValue("job_id")
	if err := tasks.ValidateJobID(id); err != nil {
		return ledger.Job{}, newProblem(http.StatusNotFound, "not-found", "%v", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.StoreTimeout)
	defer cancel()
	job, err := a.cfg.Ledger.Get(ctx, id)
	var unknown *ledger.NotFoundError
	if errors.As(err, &unknown) {
		return job, newProblem(http.StatusNotFound, "not-found", "%v", err)
	}
	return job, err
}

// report is GET /v1/removals/{job_id}/report: CSV where the caller asks for it, else one JSON object per line.
func (a *API) report(w http.ResponseWriter, r *http.Request) error {
	job, err := a.find(w, r)
	if err != nil {
		return err
	}
	asCSV, p := wantsCSV(r)
	if p != nil {
		return p
	}
	options := report.Options{Simulated: job.Simulated}
	switch ids := r.URL.Query().Get("ids"); ids {
	case "string":
		options.RoleIDsAsText = true
	case "", "number":
	default:
		return newProblem(http.StatusBadRequest, "invalid-request", "ids %.40q is not one of number, string", ids)
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	write, kind := report.JSON, "jsonl"
	if asCSV {
		write, kind = report.CSV, "csv"
		h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	} else {
		h.Set("Content-Type", "application/jsonl")
	}
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.%s"`, job.JobID, kind))
	if r.Method == http.MethodHead {
		return nil
	}
	return write(r.Context(), a.cfg.Ledger, job.JobID, &patient{w, http.NewResponseController(w)}, options)
}

func wantsCSV(r *http.Request) (bool, *problem) {
	switch format := r.URL.Query().Get("format"); format {
	case "csv":
		return true, nil
	case "jsonl":
		return false, nil
	case "":
		return strings.Contains(r.Header.Get("Accept"), "text/csv"), nil
	default:
		p := newProblem(http.StatusBadRequest, "invalid-request", "format %.40q is not one of jsonl, csv", format)
		return false, p
	}
}

// patient gives each piece of a long answer its own time, so that only a client that takes nothing is cut off.
type patient struct {
	io.Writer
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(httpserve.WriteTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.Writer.Write(b)
}

func (a *API) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, err := w.Write(OpenAPI)
	return err
}
