package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/text/language"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/signin"
)

//go:embed pages
var pages embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"t": texts.T, "count": texts.Count[int64], "thousands": words.Thousands[int64], "means": report.Means, "recall": texts.Recall, "remedy": report.Remedy,
	"subject": report.Subject, "clip": words.Clip, "int64": func(n int) int64 { return int64(n) },
	"digits":  func(id int64) string { return strconv.FormatInt(id, 10) },
	"how_far": howFar,
	"with_hold": func(v *visit, h *heldView) any {
		return struct {
			Visit *visit
			Hold  *heldView
		}{v, h}
	},
	"with_letters": func(v *visit, l lettersOf, jobID string) any {
		to := "/letters"
		if jobID != "" {
			to = "/jobs/" + jobID
		}
		return struct {
			Visit   *visit
			Letters lettersOf
			One     bool
			To      string
		}{v, l, jobID != "", to}
	},
}).ParseFS(pages, "pages/*.html"))

// visit is one request for a page, with what every page shows.
type visit struct {
	w http.ResponseWriter
	r *http.Request

	Lang   texts.Lang
	Prefix string
	// Build is part of the address of style and script.
	Build string
	// Here is the page's entry in the navigation, Title its name.
	Here  string
	Title texts.Sayable
	// Reload is after how many seconds a browser without script asks again; 0 is never.
	Reload int
	// Said is what a form that was sent came to.
	Said   texts.Sayable
	Person signin.Person
	// Known are the people and roles of the page by name, as far as they are known.
	Known called
	// Simulated says that nothing here is real.
	Simulated bool
	// Page is what the template of the page shows.
	Page any
}

// Say says a text in the language of the reader.
func (v *visit) Say(t texts.Sayable) string { return t.In(v.Lang) }

// When is a time for the page: its script shows it in the zone of the browser.
func (v *visit) When(t any) template.HTML {
	at, ok := t.(time.Time)
	if p, is := t.(*time.Time); is && p != nil {
		at, ok = *p, true
	}
	if !ok || at.IsZero() {
		return ""
	}
	stamp := at.UTC().Format(time.RFC3339)
	return template.HTML(`<time datetime="` + stamp + `">` + at.UTC().Format("2006-01-02 15:04") + ` UTC</time>`)
}

// For is a duration as people say it.
func (v *visit) For(d time.Duration) string { return v.Say(span(d)) }

// span says a duration roughly, as somebody who waits wants to know it.
func span(d time.Duration) texts.Text {
	switch {
	case d < 10*time.Second:
		return texts.T("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return texts.T("%.0f s", d.Seconds())
	case d < time.Hour:
		return texts.T("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return texts.T("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return texts.T("%d days", int(d.Hours())/24)
}

// languages are those of the pages; a browser that asks for another one reads English.
var languages = language.NewMatcher([]language.Tag{language.English, language.Chinese})

func languageOf(r *http.Request) texts.Lang {
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil {
		return texts.English
	}
	if _, i, confidence := languages.Match(tags...); i == 1 && confidence > language.No {
		return texts.Chinese
	}
	return texts.English
}

// problem is an error that a person is told, with the status that goes with it.
type problem struct {
	status int
	texts.Text
}

var errNoPage = &problem{http.StatusNotFound, texts.T("There is no such page.")}

// page serves what a function shows within a minute; its errors become a page of their own.
func (c *Console) page(show func(*visit) error) http.HandlerFunc {
	return c.within(time.Minute, func(v *visit) error {
		c.catalog.pages.Add(1)
		defer c.catalog.pages.Add(-1)
		return show(v)
	})
}

// within is page for what may take as long as is said.
func (c *Console) within(lasts time.Duration, show func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), lasts)
		defer cancel()
		v := c.visit(w, r.WithContext(ctx))
		if err := show(v); err != nil {
			c.fail(v, err)
		}
	}
}

func (c *Console) visit(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{w: w, r: r, Lang: languageOf(r), Prefix: c.cfg.Prefix, Build: url.QueryEscape(c.cfg.Version), Person: signin.Of(r), Simulated: c.cfg.Simulated}
	if what, known := said[r.URL.Query().Get("done")]; known && r.Method == http.MethodGet {
		v.Said = what
	}
	return v
}

func (c *Console) fail(v *visit, err error) {
	var told *problem
	var unknown *ledger.NotFoundError
	switch {
	case errors.As(err, &told):
	case errors.As(err, &unknown):
		told = &problem{http.StatusNotFound, texts.T("There is no removal %s. It was never submitted here, or its record was kept as long as it is to be.", unknown.JobID)}
	case v.r.Context().Err() != nil && errors.Is(context.Cause(v.r.Context()), context.Canceled):
		return // the reader has left
	default:
		c.cfg.Log.Error().Err(err).Str("path", v.r.URL.Path).Msg("a page of the console could not be shown")
		told = &problem{http.StatusServiceUnavailable, texts.T("The records cannot be read just now. Nothing is lost: try again in a moment, and tell whoever runs unrole if it stays so.")}
	}
	v.Page, v.Title = told, texts.T("Not shown")
	if err := v.show("error.html", told.status); err != nil {
		c.cfg.Log.Error().Err(err).Msg("the console's page of errors")
	}
}

// show sends a page whole, or not at all.
func (v *visit) show(name string, status int) error {
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, name, v); err != nil {
		return err
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.Lang.Tag())
	h.Set("Vary", "Accept-Language")
	v.w.WriteHeader(status)
	_, _ = page.WriteTo(v.w) // the reader may have gone
	return nil
}

// redirect sends the browser to another page of the console.
func (v *visit) redirect(to string) { http.Redirect(v.w, v.r, v.Prefix+to, http.StatusSeeOther) }
