package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/run/httpserve"
)

// wantJSON refuses a body that is said to be something else. That also keeps a form on somebody's web page from submitting.
func wantJSON(r *http.Request) *problem {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(parameters["charset"])
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || kind != "application/json" ||
		charset != "" && charset != "utf-8" && charset != "utf8" && charset != "us-ascii" {
		return newProblem(http.StatusUnsupportedMediaType, "unsupported-type", "send the body as Content-Type: application/json, in UTF-8").with("Accept", "application/json")
	}
	return knownEncoding(r)
}

func knownEncoding(r *http.Request) *problem {
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity", "gzip", "x-gzip":
		return nil
	default:
		return newProblem(http.StatusUnsupportedMediaType, "unsupported-type", "Content-Encoding %.40q is not known here: send the body plain, or with gzip", encoding).
			with("Accept-Encoding", "gzip")
	}
}

// readBody finds out who submits, and reads the body. A token is checked before the body is read; a signature can only
// be checked after it, so its age is checked before, and few such bodies are read at once.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) (c caller, body []byte, err error) {
	if a.cfg.Keys != nil && a.cfg.Keys.current().signs(r.Header) {
		c, body, err = a.readSigned(w, r)
	} else if c, err = a.authenticate(w, r); err == nil {
		_, body, err = a.read(w, r)
	}
	if err != nil {
		return c, nil, err
	}
	return c, trimMark(body), nil
}

func (a *API) readSigned(w http.ResponseWriter, r *http.Request) (caller, []byte, error) {
	message, err := webhook.ReadHeader(r.Header, time.Now())
	if err != nil {
		return caller{}, nil, unauthorized(err.Error())
	}
	name, body, err := a.prove(w, r, message)
	if err != nil {
		return caller{}, nil, err
	}
	c := caller{name: name, message: message.ID}
	if err := a.admit(w, c); err != nil {
		return c, nil, err
	}
	return c, body, a.once(r.Context(), c, body)
}

// unproven waits for nothing: it takes one of the few places for bodies of whom nobody knows yet who sent them.
func (a *API) unproven() (release func(), p *problem) {
	select {
	case a.unproved <- struct{}{}:
		return func() { <-a.unproved }, nil
	default:
		return nil, newProblem(http.StatusServiceUnavailable, "unavailable", "too many signed messages are being read").after(time.Second)
	}
}

// prove reads the body of a signed message, and finds out who signed it.
func (a *API) prove(w http.ResponseWriter, r *http.Request, message webhook.Message) (name string, body []byte, err error) {
	release, p := a.unproven()
	if p != nil {
		return "", nil, p
	}
	defer release()
	sent, body, err := a.read(w, r)
	if err != nil {
		return "", nil, err
	}
	// A sender that compresses signs what it had before, or what it sends.
	name, ok := a.cfg.Keys.current().signer(message, body)
	if !ok && !bytes.Equal(sent, body) {
		name, ok = a.cfg.Keys.current().signer(message, sent)
	}
	if !ok {
		return "", nil, unauthorized("no secret known here made the signature of webhook-id, webhook-timestamp and body")
	}
	return name, body, nil
}

// trimMark takes off the byte order mark that some systems begin UTF-8 with.
func trimMark(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }

// read reads the body as it was sent, and inflates it; neither may be larger than MaxBody.
func (a *API) read(w http.ResponseWriter, r *http.Request) (sent, body []byte, err error) {
	tooLarge := newProblem(http.StatusRequestEntityTooLarge, "too-large", "the body is larger than %d bytes; split the removal into several", a.cfg.MaxBody)
	sent, err = io.ReadAll(http.MaxBytesReader(w, r.Body, a.cfg.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, nil, newProblem(http.StatusRequestTimeout, "timeout", "the body did not arrive within %s", httpserve.ReadTimeout)
	case err != nil:
		return nil, nil, newProblem(http.StatusBadRequest, "not-json", "the body ended too early")
	case !strings.HasSuffix(strings.ToLower(r.Header.Get("Content-Encoding")), "gzip"):
		return sent, sent, nil
	}
	inflated, err := gzip.NewReader(bytes.NewReader(sent))
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(inflated, a.cfg.MaxBody+1))
	}
	if err != nil {
		return nil, nil, newProblem(http.StatusBadRequest, "not-json", "the body is not gzip, as Content-Encoding says: %v", err)
	}
	if int64(len(body)) > a.cfg.MaxBody {
		return nil, nil, tooLarge
	}
	return sent, body, nil
}
