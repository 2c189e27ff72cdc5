package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
)

const (
	defaultPage, maxPage = 50, 200
	// A page ends, with what was found by then, when so many jobs were looked at for it, or half the time that an answer may
	// take is over.
	lookedAt = 5000
)

// page is the answer to GET /v1/removals.
type page struct {
	Removals []ledger.Job `json:"removals"`
	// Next is the cursor of the page behind this one; it is missing on the last one.
	Next string `json:"next,omitempty"`
}

// list is GET /v1/removals: the jobs that match, the most recent first.
func (a *API) list(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.authenticate(w, r); err != nil {
		return err
	}
	filter, limit, p := listed(r.URL.Query())
	if p != nil {
		return p
	}
	release, err := a.work(r.Context())
	if err != nil {
		return err
	}
	defer release()
	ctx, end := a.storing(r)
	defer end()
	began, looked := time.Now(), 0
	found := page{Removals: []ledger.Job{}}
	last := ""
	for look, err := range a.cfg.Ledger.Find(ctx, filter, r.URL.Query().Get("cursor")) {
		var nowhere *ledger.PlaceError
		if errors.As(err, &nowhere) {
			return newProblem(http.StatusBadRequest, "invalid-request", "cursor %v", err)
		}
		if err != nil {
			return err
		}
		// Only now that there is another job it is known that the page is not the last one.
		if len(found.Removals) == limit || looked == lookedAt || looked > 0 && time.Since(began) > a.cfg.StoreTimeout/2 {
			found.Next = last
			break
		}
		looked++
		last = look.Place
		if look.Found {
			found.Removals = append(found.Removals, look.Job)
		}
	}
	writeJSON(w, http.StatusOK, "application/json", found)
	return nil
}

// listed reads what is looked for. A parameter may stand there several times, or have several values between commas.
func listed(query url.Values) (f ledger.Filter, limit int, p *problem) {
	bad := func(format string, args ...any) (ledger.Filter, int, *problem) {
		return f, 0, newProblem(http.StatusBadRequest, "invalid-request", "%s", fmt.Sprintf(format, args...))
	}
	for name := range query {
		if !slices.Contains([]string{"user_id", "state", "source", "limit", "cursor"}, name) {
			return bad("there is no parameter %.40q; what there is: user_id, state, source, limit, cursor", name)
		}
	}
	for _, id := range values(query, "user_id") {
		if err := checkUser(id); err != nil {
			return bad("user_id: %v", err)
		}
		f.UserIDs = append(f.UserIDs, id)
	}
	for _, s := range values(query, "state") {
		if !slices.Contains(ledger.States(), ledger.State(s)) {
			return bad("state %.40q is none that a job can have", s)
		}
		f.States = append(f.States, ledger.State(s))
	}
	f.Sources = query["source"] // a text, which may have a comma
	if len(f.UserIDs) > maxPage {
		return bad("at most %d user ids can be looked for at once", maxPage)
	}
	limit = defaultPage
	if text := query.Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxPage {
			return bad("limit %.40q is not a number from 1 to %d", text, maxPage)
		}
	}
	return f, limit, nil
}

func values(query url.Values, name string) (all []string) {
	for _, v := range query[name] {
		all = append(all, strings.Split(v, ",")...)
	}
	return all
}
