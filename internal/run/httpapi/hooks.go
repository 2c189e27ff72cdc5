package httpapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/in/adapter"
)

// hook is POST /v1/hooks/{name}: an HR system says in its own words that people leave. It answers 200 when Redis has the job, and to
// messages that count for nothing.
func (a *API) hook(w http.ResponseWriter, r *http.Request) error {
	system := a.cfg.Adapters[r.PathValue("name")]
	if system == nil {
		return newProblem(http.StatusNotFound, "not-found", "there is no adapter %.40q; UNROLE_ADAPTERS_FILE has them", r.PathValue("name"))
	}
	if p := knownEncoding(r); p != nil {
		return p
	}
	result, err := a.answerMessage(w, r, system)
	var p *problem
	switch {
	case errors.As(err, &p) && p.Status < http.StatusInternalServerError:
		result = hookRefused
	case err != nil:
		result = hookFailed
	}
	if a.cfg.Heard != nil {
		a.cfg.Heard(system.Name, result)
	}
	return err
}

// What came of a message: it was taken, or was before; it counts for nothing, or asked whether somebody is there; it took back what others
// said; it was refused (4xx); or it could not be stored (5xx).
const (
	hookTaken     = "taken"
	hookAgain     = "again"
	hookIgnored   = "ignored"
	hookChallenge = "challenge"
	hookTakenBack = "taken_back"
	hookRefused   = "refused"
	hookFailed    = "failed"
)

// HookResults lists what may come of a message to an adapter.
func HookResults() []string {
	return []string{hookTaken, hookAgain, hookIgnored, hookChallenge, hookTakenBack, hookRefused, hookFailed}
}

// answerMessage takes a message, or refuses it with an error.
func (a *API) answerMessage(w http.ResponseWriter, r *http.Request, system *adapter.Adapter) (result string, err error) {
	event, err := a.hear(w, r, system)
	if err != nil {
		return "", a.told(system, err)
	}
	who := caller{name: "hook:" + system.Name, message: event.ID}
	if err := a.admit(w, who); err != nil {
		return "", err
	}
	switch {
	case event.Challenge != "":
		writeJSON(w, http.StatusOK, "application/json", map[string]string{"challenge": event.Challenge})
		return hookChallenge, nil
	case event.Ignored != "":
		a.cfg.Log.Info().Str("adapter", system.Name).Str("why", event.Ignored).Msg("a message counts for nothing")
		answerHook(w, system, map[string]string{"ignored": event.Ignored})
		return hookIgnored, nil
	}
	result, err = a.takeEvent(w, r, system, who, event)
	return result, a.told(system, err)
}

// hear reads a message, and finds out whether the system sent it.
func (a *API) hear(w http.ResponseWriter, r *http.Request, system *adapter.Adapter) (adapter.Event, error) {
	release, p := a.unproven()
	if p != nil {
		return adapter.Event{}, p
	}
	defer release()
	sent, body, err := a.read(w, r)
	if err != nil {
		return adapter.Event{}, err
	}
	event, err := system.Open(adapter.Message{Header: r.Header, Query: r.URL.Query(), Sent: sent, Body: body, Now: time.Now()})
	var unproved *adapter.Unproved
	var notJSON *adapter.NotJSON
	var unreadable *adapter.Unreadable
	switch {
	case errors.As(err, &unproved):
		return event, unauthorized(unproved.Why)
	case errors.As(err, &notJSON):
		return event, newProblem(http.StatusBadRequest, "not-json", "%v", err)
	case errors.As(err, &unreadable):
		wrong := &reader{more: unreadable.More}
		for _, f := range unreadable.Faults {
			wrong.faults = append(wrong.faults, Fault(f))
		}
		return event, wrong.problem()
	}
	return event, err
}

// takeEvent stores what an event means. The same event again is the same job: systems that send again what was not answered write
// another time into it, so what counts is its meaning, and one that was not taken binds nothing.
func (a *API) takeEvent(w http.ResponseWriter, r *http.Request, system *adapter.Adapter, who caller, event adapter.Event) (result string, err error) {
	release, err := a.work(r.Context())
	if err != nil {
		return "", err
	}
	defer release()
	switch {
	case event.Stays:
		return hookTakenBack, a.takeBack(w, r, system, who, event)
	case event.Each != nil:
		return a.takeEach(w, r, system, who, event)
	}
	req, p := meant(event.Removal)
	if p != nil {
		return "", p
	}
	req.JobID = "hook-" + digest(who.name, event.ID)
	done, err := a.take(r, req, who)
	if err != nil {
		return "", err
	}
	a.cfg.Log.Info().Str("adapter", system.Name).Str("job", done.Job.JobID).Bool("again", done.Existed).Msg("a message was taken")
	w.Header().Set("Location", "/v1/removals/"+done.Job.JobID)
	answerHook(w, system, done.Job)
	if done.Existed {
		return hookAgain, nil
	}
	return hookTaken, nil
}

// meant is the removal that a message means.
func meant(body []byte) (*removalRequest, *problem) {
	req, p := decode(body)
	if p != nil {
		p.Detail = "the removal that the message means: " + p.Detail
	}
	return req, p
}

// told logs a message that was not taken: the system that sent it shows its answer to nobody. Values of its fields are left out.
func (a *API) told(system *adapter.Adapter, err error) error {
	var p *problem
	if errors.As(err, &p) {
		at := make([]string, len(p.Errors))
		for i, f := range p.Errors {
			at[i] = f.Pointer
		}
		a.cfg.Log.Warn().Str("adapter", system.Name).Int("status", p.Status).Str("problem", p.Title).Strs("fields", at).Msg("a message was not taken")
	}
	return err
}

// answerHook answers as the system wants to be answered.
func answerHook(w http.ResponseWriter, system *adapter.Adapter, otherwise any) {
	if system.Answer != nil {
		otherwise = json.RawMessage(system.Answer)
	}
	writeJSON(w, http.StatusOK, "application/json", otherwise)
}

// checkAdapters finds what the intake would refuse of every message of an adapter.
func checkAdapters(adapters map[string]*adapter.Adapter) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(adapters)) {
		sample, err := adapters[name].Sample()
		if err != nil {
			return err
		}
		_, p := decode(sample)
		if p == nil {
			continue
		}
		for _, f := range p.Errors {
			_, path, _ := strings.Cut(strings.TrimPrefix(f.Pointer, "/removals/0"), "/")
			field, _, _ := strings.Cut(path, "/")
			faults = append(faults, adapters[name].Fault(field, f.Detail))
		}
	}
	return errors.Join(faults...)
}
