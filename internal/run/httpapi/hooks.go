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
	event, err := a.hear(w, r, system)
	if err != nil {
		return a.told(system, err)
	}
	who := caller{name: "hook:" + system.Name, message: event.ID}
	if err := a.admit(w, who); err != nil {
		return err
	}
	switch {
	case event.Challenge != "":
		writeJSON(w, http.StatusOK, "application/json", map[string]string{"challenge": event.Challenge})
		return nil
	case event.Ignored != "":
		a.cfg.Log.Info().Str("adapter", system.Name).Str("why", event.Ignored).Msg("a message counts for nothing")
		answerHook(w, system, map[string]string{"ignored": event.Ignored})
		return nil
	}
	return a.told(system, a.takeEvent(w, r, system, who, event))
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
// another time into it, so what counts is its meaning, and one that was not taken binds nothing. Without an id of its own each event is
// a job of its own.
func (a *API) takeEvent(w http.ResponseWriter, r *http.Request, system *adapter.Adapter, who caller, event adapter.Event) error {
	release, err := a.work(r.Context())
	if err != nil {
		return err
	}
	defer release()
	req, p := decode(event.Removal)
	if p != nil {
		p.Detail = "the removal that the message means: " + p.Detail
		return p
	}
	if event.ID != "" {
		req.JobID = "hook-" + digest(who.name, event.ID)
	}
	done, err := a.take(r, req, who)
	if err != nil {
		return err
	}
	a.cfg.Log.Info().Str("adapter", system.Name).Str("job", done.Job.JobID).Bool("again", done.Existed).Msg("a message was taken")
	w.Header().Set("Location", "/v1/removals/"+done.Job.JobID)
	answerHook(w, system, done.Job)
	return nil
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
