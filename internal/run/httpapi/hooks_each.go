package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/adapter"
	"github.com/unrole/unrole/internal/record/hooks"
	"github.com/unrole/unrole/internal/record/ledger"
)

// china is where the days of messages without an id end.
var china = time.FixedZone("UTC+8", 8*60*60)

// mostTries bounds how often a day the same may be refused, and be asked for again.
const mostTries = 100

// takeEach makes a job of each person of a message, so that each can be taken back. One who is refused keeps the others from nothing: the
// message is refused with the first problem once all have had their turn, and safe to be sent again.
func (a *API) takeEach(w http.ResponseWriter, r *http.Request, system *adapter.Adapter, who caller, event adapter.Event) (result string, err error) {
	if len(event.Each) > a.cfg.MaxUsers {
		return "", refusal(&enqueue.GuardError{Users: len(event.Each), Max: a.cfg.MaxUsers}, nil)
	}
	jobs := make([]ledger.Job, 0, len(event.Each))
	var first error
	result = hookAgain
	for i, said := range event.Each {
		done, err := a.takeOne(r, system, who, event, said)
		var p *problem
		switch {
		case errors.Is(err, errStays):
			a.cfg.Log.Info().Str("adapter", system.Name).Str("why", err.Error()).Msg("a message counts for nothing")
			continue
		case errors.As(err, &p) && p.Status < http.StatusInternalServerError:
			if first == nil {
				p.Detail = fmt.Sprintf("person %d of %d: %s", i+1, len(event.Each), p.Detail)
				first = p
			}
			continue
		case err != nil:
			return "", err
		case !done.Existed:
			result = hookTaken
		}
		a.cfg.Log.Info().Str("adapter", system.Name).Str("job", done.Job.JobID).Bool("again", done.Existed).Msg("a message was taken")
		jobs = append(jobs, done.Job)
	}
	switch {
	case first != nil:
		return "", first
	case len(jobs) == 0:
		answerHook(w, system, map[string]string{"ignored": errStays.Error()})
		return hookIgnored, nil
	case len(jobs) == 1:
		w.Header().Set("Location", "/v1/removals/"+jobs[0].JobID)
		answerHook(w, system, jobs[0])
	default:
		answerHook(w, system, map[string][]ledger.Job{"jobs": jobs})
	}
	return result, nil
}

// errStays is what becomes of a message that was taken back before its job was stored.
var errStays = errors.New("the person stays, as a message has said that was sent later or came before")

// takeOne stores what a message says of somebody. Without an id of the event, the same of the same person on the same day is the same
// job, unless it was said meanwhile that they stay, or it was refused: then somebody may have corrected the directory.
func (a *API) takeOne(r *http.Request, system *adapter.Adapter, who caller, event adapter.Event, said adapter.Said) (enqueue.Submitted, error) {
	req, p := meant(said.Removal)
	if p != nil {
		return enqueue.Submitted{}, p
	}
	day := event.At
	if day.IsZero() {
		day = time.Now()
	}
	ctx, end := a.storing(r)
	defer end()
	about := hooks.Said{Adapter: system.Name, Who: said.Who, Sent: event.At}
	for try := 0; ; try++ {
		id, back, err := a.hooks.Leaves(ctx, about, req.At, func(turn int64) string {
			if event.ID != "" {
				return event.ID + "\x00" + said.Who
			}
			return fmt.Sprintf("%s\x00%s\x00%d\x00%d", day.In(china).Format(time.DateOnly), said.Removal, turn, try)
		})
		if err != nil {
			return enqueue.Submitted{}, err
		}
		have, err := a.cfg.Ledger.Get(ctx, id)
		var unknown *ledger.NotFoundError
		switch {
		case errors.As(err, &unknown) && back:
			return enqueue.Submitted{}, errStays
		case err != nil && !errors.As(err, &unknown):
			return enqueue.Submitted{}, err
		case have.State == ledger.StateRefused && event.ID == "" && try < mostTries:
			continue
		}
		req.JobID = id
		done, err := a.take(r, req, who)
		if err != nil || done.Existed {
			return done, err
		}
		// A message that they stay may have come before there was a job to take back.
		if back, err = a.hooks.Back(ctx, about, req.At, id); err == nil && back {
			_, _, err = a.withdraw(ctx, system, who, id)
		}
		return done, err
	}
}

// stayed is the answer to a message that says that people stay.
type stayed struct {
	// Cancelled counts the pairs that were taken back.
	Cancelled int64        `json:"cancelled"`
	Jobs      []ledger.Job `json:"jobs"`
}

// takeBack cancels what earlier messages of the same system have made of people who stay, and has not begun.
func (a *API) takeBack(w http.ResponseWriter, r *http.Request, system *adapter.Adapter, who caller, event adapter.Event) error {
	ctx, end := a.storing(r)
	defer end()
	answer := stayed{Jobs: []ledger.Job{}}
	for _, said := range event.Each {
		ids, err := a.hooks.Stays(ctx, hooks.Said{Adapter: system.Name, Who: said.Who, Sent: event.At}, event.ID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			job, pairs, err := a.withdraw(ctx, system, who, id)
			if err != nil {
				return err
			}
			if job.JobID != "" {
				answer.Cancelled += pairs
				answer.Jobs = append(answer.Jobs, job)
			}
		}
	}
	answerHook(w, system, answer)
	return nil
}

// withdraw cancels what has not begun of the job of somebody who stays. Where nothing is left of it to take back, it returns the zero Job.
func (a *API) withdraw(ctx context.Context, system *adapter.Adapter, who caller, id string) (job ledger.Job, pairs int64, err error) {
	before, err := a.cfg.Ledger.Get(ctx, id)
	if err == nil && !before.State.Finished() {
		job, err = a.cfg.Ledger.Cancel(ctx, id, "api:"+who.name, "the HR system says that the person stays")
	}
	var unknown *ledger.NotFoundError
	var finished *ledger.FinishedError
	var submitting *ledger.SubmittingError
	switch {
	case errors.As(err, &unknown) || errors.As(err, &finished) || err == nil && job.JobID == "":
		return ledger.Job{}, 0, nil
	case errors.As(err, &submitting):
		return ledger.Job{}, 0, newProblem(http.StatusServiceUnavailable, "unavailable", "job %s is being submitted just now", id).after(time.Second)
	case err != nil:
		return ledger.Job{}, 0, err
	}
	a.cfg.Log.Info().Str("adapter", system.Name).Str("job", id).Msg("a job was taken back: the person stays")
	return job, job.Pairs.Cancelled - before.Pairs.Cancelled, nil
}
