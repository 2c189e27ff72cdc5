package pace

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever the processes do and report, in whatever order, slots are never closer than the ceiling's spacing, none
// lies within a pause that was known when it was given, and none but a probe is given while the fleet holds.
func TestNoInterleavingBreaksThePace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f, rdb := newFastRedis(t)
		f.now = time.Unix(1_800_000_000, 0)
		ctx := context.Background()
		qps := rapid.SampledFrom([]float64{0.5, 3, 20, 60, 3000}).Draw(rt, "qps")
		var ps []*Pacer
		for range rapid.IntRange(1, 5).Draw(rt, "processes") {
			p, err := New(rdb, Config{App: "a", QPS: qps, HoldProbe: 2 * time.Second})
			if err != nil {
				rt.Fatal(err)
			}
			ps = append(ps, p)
		}
		var last, lastProbe time.Time
		var open []Grant
		for range rapid.IntRange(10, interleavingSteps).Draw(rt, "steps") {
			f.now = f.now.Add(time.Duration(rapid.IntRange(0, 400).Draw(rt, "ms")) * time.Millisecond)
			p := ps[rapid.IntRange(0, len(ps)-1).Draw(rt, "process")]
			if len(open) > 0 && rapid.Bool().Draw(rt, "report") {
				i := rapid.IntRange(0, len(open)-1).Draw(rt, "which")
				p.Report(ctx, open[i], drawAnswer(rt))
				open = append(open[:i], open[i+1:]...)
				continue
			}
			if err := p.flush(ctx); err != nil {
				rt.Fatal(err)
			}
			s, err := p.Status(ctx)
			if err != nil {
				rt.Fatal(err)
			}
			r, err := p.send(ctx, "reserve")
			if err != nil {
				rt.Fatal(err)
			}
			if r.word != "granted" && r.word != "probe" {
				continue
			}
			slot := f.now.Add(r.wait)
			if r.word == "granted" {
				if gap := slot.Sub(last); gap < p.cfg.spacing()-time.Microsecond {
					rt.Fatalf("slots %v apart, want %v", gap, p.cfg.spacing())
				}
				if s.Hold != nil || s.Outage != nil {
					rt.Fatalf("granted although %+v", s)
				}
			} else {
				if s.Hold != nil && slot.Sub(lastProbe) < 2*time.Second-time.Microsecond {
					rt.Fatalf("probes %v apart", slot.Sub(lastProbe))
				}
				if s.Hold != nil && s.Hold.Kind.Sticky() {
					rt.Fatal("a sticky hold was probed")
				}
				lastProbe = slot
			}
			if s.Pause != nil && slot.Before(s.Pause.Until) {
				rt.Fatalf("slot %v within a pause until %v", slot, s.Pause.Until)
			}
			last = slot.Add(time.Duration(r.slots-1) * r.spacing)
			open = append(open, Grant{seq: r.seq, Probe: r.word == "probe"})
		}
	})
}

func drawAnswer(rt *rapid.T) Answer {
	switch k := rapid.SampledFrom(append(AnswerKinds(), Accepted, Accepted, Busy)).Draw(rt, "kind"); k {
	case Throttled:
		return Answer{Kind: k, Limit: rapid.SampledFrom([]Limit{LimitAPI, LimitGlobal, LimitIPBan}).Draw(rt, "limit"),
			Pause: time.Duration(rapid.IntRange(0, 3000).Draw(rt, "pause")) * time.Millisecond, Grow: rapid.Bool().Draw(rt, "grow")}
	case Held:
		return Answer{Kind: k, Hold: &HoldReason{Kind: rapid.SampledFrom(HoldKinds()).Draw(rt, "hold")}}
	case Refused:
		return Answer{Kind: k, RefusedIDs: rapid.IntRange(0, 30).Draw(rt, "ids")}
	default:
		return Answer{Kind: k}
	}
}
