package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// problem is an RFC 9457 problem document, the form of every error of the intake.
type problem struct {
	// Type is docsURL and the kind, which is what programs decide by.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Errors names every bad field, at most maxFaults; MoreErrors counts the others.
	Errors     []Fault `json:"errors,omitempty"`
	MoreErrors int     `json:"more_errors,omitempty"`

	retryAfter time.Duration
	header     http.Header
}

// Fault is one bad place of a request body.
type Fault struct {
	// Pointer is an RFC 6901 JSON pointer: /removals/0/user_ids/2.
	Pointer string `json:"pointer"`
	// Detail is one sentence without a full stop.
	Detail string `json:"detail"`
}

const docsURL = "https://github.com/unrole/unrole/blob/main/docs/api.md#"

// The kinds of problems, each with its heading in docs/api.md.
var titles = map[string]string{
	"not-json":           "the body is not JSON",
	"invalid-request":    "the request has bad fields",
	"unauthorized":       "no valid key was given",
	"forbidden":          "this is not allowed",
	"not-found":          "there is no such thing",
	"method-not-allowed": "the address does not take this method",
	"conflict":           "the job id is taken by other content",
	"finished":           "the job has ended",
	"no-snapshot":        "nobody knows who held the roles before",
	"nothing-to-restore": "there is nothing to give back",
	"too-large":          "the body is too large",
	"unsupported-type":   "the body is not of a type that is understood",
	"guard":              "more users than may go through at once",
	"protected":          "protected users or roles would be touched",
	"too-many-requests":  "too many requests",
	"unavailable":        "the removal could not be stored just now",
	"timeout":            "the body did not arrive in time",
}

func newProblem(status int, kind, format string, args ...any) *problem {
	return &problem{Type: docsURL + kind, Title: titles[kind], Status: status, Detail: fmt.Sprintf(format, args...)}
}

// Error makes a problem an error, so that each step of a handler can return one.
func (p *problem) Error() string { return p.Title + ": " + p.Detail }

func (p *problem) after(d time.Duration) *problem {
	p.retryAfter = d
	return p
}

func (p *problem) with(key, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(key, value)
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	for key, values := range p.header {
		w.Header()[key] = values
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
