package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/internal/run/httpserve"
)

// anybody is the name of a caller where nobody is asked who they are.
const anybody = "anonymous"

// caller is who makes a request.
type caller struct {
	name string
	// message is the id of the Standard Webhooks message, where the caller has signed one.
	message string
}

// authenticate finds out who asks by the bearer token, and takes the request from what the caller may make.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) (caller, error) {
	c, err := a.whoAsks(r)
	if err != nil {
		return c, err
	}
	return c, a.admit(w, c)
}

func (a *API) admit(w http.ResponseWriter, c caller) error {
	if seen, ok := w.(*watched); ok {
		seen.caller = c.name
	}
	if p := a.limit(c.name); p != nil {
		return p
	}
	return nil
}

func (a *API) whoAsks(r *http.Request) (caller, error) {
	if a.cfg.Keys == nil {
		// A web page must not reach an intake without keys through the name of its own site (DNS rebinding).
		if !httpserve.IsLoopback(r.Host) {
			return caller{}, newProblem(http.StatusForbidden, "forbidden", "this intake has no keys and answers to localhost and loopback addresses only")
		}
		return caller{name: anybody}, nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if name, ok := a.cfg.Keys.current().bearer(strings.TrimSpace(token)); ok {
			return caller{name: name}, nil
		}
		return caller{}, unauthorized("the bearer token is not known here")
	}
	if webhook.Signed(r.Header) {
		if len(a.cfg.Keys.current().secrets) == 0 {
			return caller{}, unauthorized("no secret for signed messages is known here; send Authorization: Bearer TOKEN")
		}
		return caller{}, unauthorized("a signed message can only submit; send a bearer token to ask what became of a job")
	}
	return caller{}, unauthorized("send Authorization: Bearer TOKEN, or sign the request as a Standard Webhooks message")
}

func unauthorized(detail string) *problem {
	return newProblem(http.StatusUnauthorized, "unauthorized", "%s", detail).with("WWW-Authenticate", `Bearer realm="unrole"`)
}

// once binds a webhook-id to the body it came with. The same message again is the sender's second try, or somebody's
// replay: it names the same job and so changes nothing. The same id with another body is refused. Later than the
// tolerance, a message is too old anyway.
func (a *API) once(ctx context.Context, c caller, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.StoreTimeout)
	defer cancel()
	key := "unrole:message:" + digest(c.name, c.message)
	sum := sha256.Sum256(body)
	mine := hex.EncodeToString(sum[:])
	first, err := a.cfg.Redis.SetNX(ctx, key, mine, 24*time.Hour).Result()
	if err != nil || first {
		return err
	}
	switch have, err := a.cfg.Redis.Get(ctx, key).Result(); {
	case err != nil && !errors.Is(err, redis.Nil):
		return err
	case have != mine:
		return newProblem(http.StatusConflict, "conflict", "the webhook-id was used with another body; each message needs an id of its own")
	}
	return nil
}

// digest is a short name for something that a caller calls by a name of its own.
func digest(callerName, id string) string {
	sum := sha256.Sum256([]byte(callerName + "\x00" + id))
	return hex.EncodeToString(sum[:])[:40]
}
