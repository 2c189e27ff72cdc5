package pace

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Status is the state of the fleet's pace at one moment. Times are by the clock of Redis.
type Status struct {
	Now time.Time
	// Ceiling is the calls per second that whoever called last is configured with, or this process where nobody ever called.
	// Rate is the calls per second that are granted when nothing stands still.
	// At the ceiling Rate is 2.4 % lower, see Config.QPS and the margin it keeps against jitter.
	Ceiling, Rate float64
	// Why says what sets Rate.
	Why RateReason
	// ChanceBusy is the share of busy answers that does not depend on the pace, as far as it was found out.
	ChanceBusy float64
	// Pause, Hold and Outage are nil when there is none. While one of them is there, no call is made but probes.
	Pause  *Pause
	Hold   *Hold
	Outage *Outage
	// Granted and Accepted count over the life of the state in Redis.
	Granted, Accepted int64
	// RefusedIDs and BadBatches count towards Config.RefusedLimit and BadRequestLimit.
	RefusedIDs, BadBatches int64
	// Minutes are the calls of the last minutes by answer, the newest last, the running minute included; at most 6.
	// Minutes without calls are there too.
	Minutes []Minute
}

// RateReason is what sets the rate. The set is closed.
type RateReason string

const (
	// AtCeiling: the configured ceiling.
	AtCeiling RateReason = "ceiling"
	// Slowed: busy or throttled answers; the rate climbs until it meets them again.
	Slowed RateReason = "slowed"
	// Testing: the rate is lowered to see whether that lowers the share of busy answers.
	Testing RateReason = "testing"
)

// Pause is a stop until a known moment.
type Pause struct {
	Until time.Time
	Limit Limit
	Why   string
}

// Hold is a stop until a probe passes, or for a sticky one until somebody clears it.
type Hold struct {
	HoldReason
	Since time.Time
	// NextProbe is zero for a sticky hold.
	NextProbe time.Time
}

// Outage is a DingTalk that does not answer any more; it is probed ever more seldom, at most Config.ProbeCap apart.
type Outage struct {
	Since, NextProbe time.Time
}

// Minute is the calls that were reported within one minute.
type Minute struct {
	Start time.Time
	Calls map[AnswerKind]int64
}

// Status reads the state in one Redis call.
func (p *Pacer) Status(ctx context.Context) (Status, error) {
	raw, err := p.eval(ctx, "status", nil).Slice()
	if err != nil {
		return Status{}, fmt.Errorf("pace: read status: %w", err)
	}
	if len(raw) != 2 {
		return Status{}, fmt.Errorf("pace: status of %d elements from the script", len(raw))
	}
	state, calls := fieldsOf(raw[0]), fieldsOf(raw[1])
	s := Status{
		Now:        state.time("now"),
		Ceiling:    p.ceiling(state),
		Rate:       state.number("rate"),
		Why:        AtCeiling,
		ChanceBusy: state.number("floor"),
		Granted:    int64(state.number("seq")),
		Accepted:   int64(state.number("accepted")),
		RefusedIDs: int64(state.number("refused_ids")),
		BadBatches: int64(state.number("bad_row")),
	}
	switch {
	case state["phase"] == "test":
		s.Why = Testing
	case s.Rate*(time.Second+margin).Seconds()/s.Ceiling < 0.999:
		s.Why = Slowed
	}
	if until := state.time("pause_until"); until.After(s.Now) {
		s.Pause = &Pause{Until: until, Limit: Limit(state["pause_scope"]), Why: state["pause_why"]}
	}
	if kind := state["hold"]; kind != "" {
		s.Hold = &Hold{
			HoldReason: HoldReason{Kind: HoldKind(kind), Message: state["hold_msg"], Named: state["hold_named"]},
			Since:      state.time("hold_since"),
		}
		if !s.Hold.Kind.Sticky() {
			s.Hold.NextProbe = state.time("hold_next")
		}
	}
	if _, out := state["out_since"]; out {
		s.Outage = &Outage{Since: state.time("out_since"), NextProbe: state.time("out_next")}
	}
	s.Minutes = minutes(s.Now, calls)
	return s, nil
}

// ceiling is the one that the workers keep to.
func (p *Pacer) ceiling(state fields) float64 {
	grants, known := state["ceiling"]
	if !known {
		return p.cfg.QPS
	}
	n, err := strconv.ParseFloat(grants, 64)
	if err != nil {
		return p.cfg.QPS
	}
	return math.Round(n*(time.Second+margin).Seconds()*1e3) / 1e3
}

func minutes(now time.Time, calls fields) []Minute {
	const shown, ring = 6, 8
	var out []Minute
	for m := now.Unix()/60 - shown + 1; m <= now.Unix()/60; m++ {
		minute := Minute{Start: time.Unix(m*60, 0).UTC(), Calls: map[AnswerKind]int64{}}
		place := strconv.FormatInt(m%ring, 10) + ":"
		if int64(calls.number(place+"minute")) == m {
			for name := range calls {
				kind := AnswerKind(strings.TrimPrefix(name, place))
				if strings.HasPrefix(name, place) && slices.Contains(AnswerKinds(), kind) {
					minute.Calls[kind] = int64(calls.number(name))
				}
			}
		}
		out = append(out, minute)
	}
	return out
}

// fields is a Redis hash.
type fields map[string]string

func fieldsOf(raw any) fields {
	list, _ := raw.([]any)
	f := make(fields, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		k, _ := list[i].(string)
		f[k], _ = list[i+1].(string)
	}
	return f
}

func (f fields) number(name string) float64 {
	n, _ := strconv.ParseFloat(f[name], 64)
	return n
}

func (f fields) time(name string) time.Time {
	n := f.number(name)
	if n == 0 {
		return time.Time{}
	}
	sec, frac := math.Modf(n)
	return time.Unix(int64(sec), int64(frac*1e9)).Round(time.Microsecond).UTC()
}

// SetHold makes the fleet hold, as a Held answer does.
func (p *Pacer) SetHold(ctx context.Context, why HoldReason) error {
	r, err := p.send(ctx, "hold", string(why.Kind), why.Message, why.Named, flag(why.Kind.Sticky()))
	if err != nil {
		return err
	}
	p.news.announce(r.gen)
	return nil
}

// ClearHold ends the hold, of the given kinds only if any are given, and returns the kind that it ended, empty if
// there was none to end. Ending HoldEverythingRefused confirms the refusals: they count again only after a call was
// accepted.
func (p *Pacer) ClearHold(ctx context.Context, only ...HoldKind) (HoldKind, error) {
	args := make([]any, len(only))
	for i, kind := range only {
		args[i] = string(kind)
	}
	r, err := p.send(ctx, "clear", args...)
	if err != nil {
		return "", err
	}
	p.news.announce(r.gen)
	return HoldKind(r.word), nil
}
