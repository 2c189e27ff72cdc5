package pace

import (
	"context"
	"math"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
)

// AnswerKind is how a call ended, as far as the pace is concerned. The set is closed.
type AnswerKind string

const (
	// Accepted: DingTalk removed what was asked.
	Accepted AnswerKind = "accepted"
	// Refused: DingTalk refused ids; it works, and so do credentials and permission.
	Refused AnswerKind = "refused"
	// BadRequest: DingTalk refused the form of the call.
	BadRequest AnswerKind = "bad_request"
	// Busy: overloaded or unreachable, whichever way it showed.
	Busy AnswerKind = "busy"
	// Throttled: a rate limit was hit; the fleet pauses.
	Throttled AnswerKind = "throttled"
	// Held: nothing can succeed until somebody acts; Answer.Hold says why.
	Held AnswerKind = "held"
	// Unknown: DingTalk answered something that is in no table.
	Unknown AnswerKind = "unknown"
	// Unused: the grant was not used, no call was made.
	Unused AnswerKind = "unused"
)

// AnswerKinds lists every AnswerKind that stands for a call (all but Unused), in the order of documentation.
func AnswerKinds() []AnswerKind {
	return []AnswerKind{Accepted, Refused, BadRequest, Busy, Throttled, Held, Unknown}
}

// Limit is what a Throttled answer limits, in the words of dingtalk.Limit. Pauses of different limits grow apart from each
// other.
type Limit string

const (
	// LimitAPI is the limit of this app and API, counted per second: the pause lasts at least to the next one.
	LimitAPI Limit = "api"
	// LimitGlobal is DingTalk as a whole, LimitOrg an organisation or credential, LimitWide anything wider.
	LimitGlobal Limit = "global"
	LimitOrg    Limit = "org"
	LimitWide   Limit = "wide"
	// LimitIPBan is a ban of this egress address.
	LimitIPBan Limit = "ip_ban"
)

// Limits lists every Limit, in the order of documentation.
func Limits() []Limit { return []Limit{LimitAPI, LimitGlobal, LimitOrg, LimitWide, LimitIPBan} }

// HoldKind is why the fleet holds. The set is closed.
type HoldKind string

const (
	HoldCredentials  HoldKind = "credentials"
	HoldPermission   HoldKind = "permission"
	HoldIPNotAllowed HoldKind = "ip_not_allowed"
	HoldDisabled     HoldKind = "disabled"
	HoldToken        HoldKind = "token"
	HoldTokenNotSent HoldKind = "token_not_sent"
	HoldBadRequests  HoldKind = "bad_requests"
	// The rest is sticky: no probe is made, ClearHold alone ends it.
	HoldQuota             HoldKind = "quota"
	HoldEverythingRefused HoldKind = "everything_refused"
	// HoldAudit: what is done cannot be recorded. A probe would be an unrecorded call.
	HoldAudit HoldKind = "audit"
)

// HoldKinds lists every HoldKind, in the order of documentation.
func HoldKinds() []HoldKind {
	return []HoldKind{HoldCredentials, HoldPermission, HoldIPNotAllowed, HoldDisabled, HoldToken, HoldTokenNotSent,
		HoldBadRequests, HoldQuota, HoldEverythingRefused, HoldAudit}
}

// Sticky reports whether a hold of this kind ends by ClearHold only.
func (k HoldKind) Sticky() bool {
	return k == HoldQuota || k == HoldEverythingRefused || k == HoldAudit
}

// HoldReason is why nothing can succeed. It is shown to people and must hold no secret.
type HoldReason struct {
	Kind HoldKind
	// Message is what DingTalk said, or for a hold that unrole decided on, why.
	Message string
	// Named is what DingTalk named as missing: a permission scope, an IP address. May be empty.
	Named string
}

// Words is the reason on one line: the kind, what is missing, and what DingTalk, or unrole itself, says about it.
func (r HoldReason) Words() string { return r.In(texts.English) }

// In are Words in a language.
func (r HoldReason) In(l texts.Lang) string {
	words := string(r.Kind)
	if r.Named != "" {
		words += " (" + r.Named + ")"
	}
	switch {
	case r.Message == "":
	case r.Kind == HoldBadRequests || r.Kind == HoldEverythingRefused || r.Kind == HoldAudit:
		words += ": " + r.Message
	default:
		words = texts.T("%s, DingTalk says: %s", words, r.Message).In(l)
	}
	return words
}

// Answer is how a granted call ended.
type Answer struct {
	Kind AnswerKind
	// Pause is, for Throttled, how long the fleet is to wait from now: what DingTalk named, or the first pause that
	// is assumed. 0 with LimitAPI means to the next second.
	Pause time.Duration
	// Grow doubles Pause for every Throttled of the same limit that follows without an answer in between, up to
	// Config.MaxPause. For assumed pauses; a named one is exact.
	Grow bool
	// Limit is what a Throttled answer limits.
	Limit Limit
	// Why is, for Throttled, the word shown with the pause, such as the effective code.
	Why string
	// Hold is set for Held.
	Hold *HoldReason
	// RefusedIDs is, for Refused, how many ids this call established as invalid. A call that refused a batch without
	// showing which id was bad counts none.
	RefusedIDs int
	// BadBatches is, for BadRequest, 1 when the batch was not refused before, 0 for the probes that follow within it.
	BadBatches int
}

// answer is an Answer on its way to the script, which reads these names.
type answer struct {
	Kind     AnswerKind `json:"k"`
	Seq      int64      `json:"q"`
	Pause    float64    `json:"p,omitempty"`
	Grow     int        `json:"g,omitempty"`
	MaxPause float64    `json:"m,omitempty"`
	Limit    Limit      `json:"s,omitempty"`
	Why      string     `json:"w,omitempty"`
	IDs      int        `json:"i,omitempty"`
	Batches  int        `json:"b,omitempty"`
	Hold     HoldKind   `json:"h,omitempty"`
	Text     string     `json:"t,omitempty"`
	Named    string     `json:"n,omitempty"`
	Sticky   int        `json:"y,omitempty"`
}

// mostPending bounds the answers that wait for Redis; beyond it the oldest are forgotten.
const mostPending = 10_000

// Report says how the call of a grant ended. Every grant should be reported once; one that is not costs nothing but
// its share in the statistics. Busy, Throttled and Held go to Redis before Report returns, so that the fleet reacts at
// once; the others go with the next Reserve or a fifth of a second later. When Redis is away the answer is kept
// and delivered when it is back.
func (p *Pacer) Report(ctx context.Context, g Grant, a Answer) {
	out := answer{Kind: a.Kind, Seq: g.seq}
	switch a.Kind {
	case Unused:
		return
	case Refused:
		out.IDs = a.RefusedIDs
	case BadRequest:
		out.Batches = a.BadBatches
	case Throttled:
		out.Pause, out.Limit, out.Why = a.Pause.Seconds(), a.Limit, a.Why
		if a.Grow {
			out.Grow, out.MaxPause = 1, p.cfg.MaxPause.Seconds()
		}
	case Held:
		why := HoldReason{Kind: HoldToken}
		if a.Hold != nil {
			why = *a.Hold
		}
		out.Hold, out.Text, out.Named, out.Sticky = why.Kind, why.Message, why.Named, flag(why.Kind.Sticky())
	}
	p.mu.Lock()
	first := len(p.todo) == 0
	p.todo = append(p.todo, out)
	if n := len(p.todo) - mostPending; n > 0 {
		p.todo = append(p.todo[:0], p.todo[n:]...)
	}
	p.mu.Unlock()

	urgent := g.Probe || a.Kind == Busy || a.Kind == Throttled || a.Kind == Held
	if urgent && !p.away.Load() {
		ctx, cancel := context.WithTimeout(ctx, redisPatience)
		defer cancel()
		if p.flush(ctx) == nil {
			return
		}
	}
	if a.Kind == Throttled || a.Kind == Held {
		// Redis does not know yet, but this process does: give up the slot that may be waited for.
		p.news.announce(math.MaxInt64)
	}
	if first || urgent {
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// flush brings the pending answers to Redis.
func (p *Pacer) flush(ctx context.Context) error {
	p.mu.Lock()
	none := len(p.todo) == 0
	p.mu.Unlock()
	if none {
		return nil
	}
	r, err := p.send(ctx, "report")
	if err != nil {
		return err
	}
	p.news.announce(r.gen)
	return nil
}

func (p *Pacer) take() []answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	todo := p.todo
	p.todo = nil
	return todo
}

func (p *Pacer) putBack(todo []answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.todo = append(todo, p.todo...)
}
