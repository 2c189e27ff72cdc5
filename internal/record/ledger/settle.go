package ledger

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/tasks"
)

// Settle gives outcomes to pairs of the claimed part, positions being those of Part's users and roles, and counts
// exactly what changed. Pairs that are not the part's own, and changes that are not allowed (a removed pair stays
// removed), are passed over. Calls that were counted on the claim are counted in the record. It is safe to repeat.
func (l *Ledger) Settle(ctx context.Context, c *Claim, settlements ...Settlement) (Delta, error) {
	return l.change(ctx, c, "", func(s *PartState) (Delta, []Entry) {
		var total Delta
		var last Outcome
		for _, st := range settlements {
			d := s.apply(c.def, c.inDef(st))
			total.Removed += d.Removed
			total.Dead += d.Dead
			total.Cancelled += d.Cancelled
			last = st.Outcome
		}
		if total.Dead < 0 { // opened again: what the batch went through before does not count
			s.Tries = Tries{}
		}
		if total.Removed > 0 || last.Given {
			s.Tries.passed()
		}
		event := EventSettled
		switch last.Kind {
		case Pending:
			event = EventReopened
		case Cancelled:
			event = EventCancelled
		}
		return total, []Entry{{Event: event, RequestID: last.RequestID, Why: string(last.Reason)}}
	})
}

// Note records attempts, or anything else in the state that moves no pair.
func (l *Ledger) Note(ctx context.Context, c *Claim, change func(*PartState)) error {
	_, err := l.change(ctx, c, "", func(s *PartState) (Delta, []Entry) {
		change(s)
		return Delta{}, nil
	})
	return err
}

// inDef translates positions in Part to positions in the record's part.
func (c *Claim) inDef(st Settlement) Settlement {
	if c.users == nil {
		return st
	}
	return Settlement{Outcome: st.Outcome,
		Pairs: pairs.Rectangle{Users: pick(c.users, st.Pairs.Users), Roles: pick(c.roles, st.Pairs.Roles)}}
}

// pick translates positions, nil meaning all.
func pick[P pairs.User | pairs.Role](all, some []P) []P {
	if some == nil {
		return all
	}
	out := make([]P, len(some))
	for i, p := range some {
		out[i] = all[p]
	}
	return out
}

// errBegun says that a part is being called and must be left alone.
var errBegun = errors.New("the part is being called just now")

// change computes a new state from the one the claim knows and writes it, again from the newer one where somebody was
// faster.
func (l *Ledger) change(ctx context.Context, c *Claim, mode string, compute func(*PartState) (Delta, []Entry)) (Delta, error) {
	for {
		next := c.State.clone()
		delta, entries := compute(&next)
		next.compact()
		if c.write == "" {
			c.write = rand.Text()[:8]
		}
		next.version, next.write = c.State.version+1, c.write
		state, err := next.encode(next.version, c.def.Pairs())
		if err != nil {
			return Delta{}, err
		}
		if delta.Dead < 0 {
			if err := l.opened(ctx, c.Part.JobID); err != nil {
				return Delta{}, err
			}
			if c.def.Action == tasks.Add {
				if err := l.restoring(ctx, c.Part.JobID); err != nil {
					return Delta{}, err
				}
			}
		}
		if mode == "" && c.StaysBegun {
			mode = "begun"
		}
		now := l.now()
		entry := ""
		if delta != (Delta{}) && len(entries) > 0 {
			e := entries[0]
			e.At, e.JobID, e.Part = now, c.Part.JobID, c.Part.Part
			e.Removed, e.Dead, e.Cancelled = delta.Removed, delta.Dead, delta.Cancelled
			if c.def.Action == tasks.Add {
				e.Removed, e.Restored = 0, e.Removed
			}
			if entry, err = encodeEntry(e); err != nil {
				return Delta{}, err
			}
		}
		args := []any{c.def.Part, c.State.version, state, delta.Removed, delta.Dead, delta.Cancelled, c.calls, formatTime(now),
			(l.retention + max(0, c.At.Sub(now))).Milliseconds(), entry, mode, string(c.lead), c.Part.Part}
		if mode == "idle" {
			_, letters := PartRecord{Part: c.def, State: c.State}.Open()
			for _, letter := range letters {
				args = append(args, letter)
			}
		}
		k, _ := l.keysWith(c.Part.JobID, openKey)
		reply, err := l.runWith(ctx, settleScript, k, args...)
		if err != nil {
			return Delta{}, fmt.Errorf("settle part %s: %w", c.Part.TaskID(), err)
		}
		switch reply[0].(int64) {
		case 2:
			// A name that stays in the index costs who reads it a look at the record, nothing more.
			l.rdb.ZRem(ctx, openKey, c.Part.JobID)
			fallthrough
		case 1:
			c.State, c.calls, c.write = next, 0, ""
			return delta, nil
		case -1:
			return Delta{}, errBegun
		case -2:
			return Delta{}, &NotFoundError{JobID: c.Part.JobID}
		}
		newer, _ := reply[1].(string)
		if newer == state {
			// An earlier try of the same write, whose reply was lost.
			c.State, c.calls, c.write = next, 0, ""
			return delta, nil
		}
		if c.State, err = decodeState(newer, c.def.Pairs()); err != nil {
			return Delta{}, fmt.Errorf("settle part %s: %w", c.Part.TaskID(), err)
		}
	}
}

// Rest takes back the mark that a Claim with Begin has set, for a call that is over and settled nothing. answered says
// that DingTalk has answered it: it did not take its worker along.
func (l *Ledger) Rest(ctx context.Context, c *Claim, answered bool) error {
	return l.say(ctx, c, "end a call", restScript, c.Part.Part, string(c.lead), answered)
}

// say writes something about a claimed part that changes no pair.
func (l *Ledger) say(ctx context.Context, c *Claim, what string, s *redis.Script, args ...any) error {
	if _, err := l.run(ctx, s, c.Part.JobID, args...); err != nil {
		return fmt.Errorf("%s for part %s: %w", what, c.Part.TaskID(), err)
	}
	return nil
}

// Split records that the claimed part was divided into children: the record takes them over, with the pairs of the
// parent, before they are enqueued. Again is harmless, since the children of a part are always the same.
func (l *Ledger) Split(ctx context.Context, c *Claim, children []tasks.Part) error {
	next := c.State.clone()
	next.Children = len(children)
	next.version++
	state, err := next.encode(next.version, c.def.Pairs())
	if err != nil {
		return err
	}
	args := []any{c.def.Part, c.State.version, state, string(c.lead)}
	for i := range children {
		payload, err := children[i].Encode()
		if err != nil {
			return err
		}
		args = append(args, children[i].Part, payload)
	}
	reply, err := l.run(ctx, splitScript, c.Part.JobID, args...)
	if err != nil {
		return fmt.Errorf("split part %s: %w", c.Part.TaskID(), err)
	}
	if reply[0].(int64) == 0 {
		return fmt.Errorf("split part %s: somebody else changed it", c.Part.TaskID())
	}
	c.State = next
	return nil
}

// Learn records that DingTalk refuses an id for good, for all batches of the job of the claimed part. field is a UserField
// or a RoleField.
func (l *Ledger) Learn(ctx context.Context, c *Claim, field string, f tasks.Failure) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return l.say(ctx, c, "record a bad id", learnScript, string(c.lead), field, body)
}

// Forget drops bad ids of the job that DingTalk has now accepted.
func (l *Ledger) Forget(ctx context.Context, c *Claim, fields ...string) error {
	if len(fields) == 0 {
		return nil
	}
	args := []any{string(c.lead)}
	for _, field := range fields {
		args = append(args, field, "")
	}
	return l.say(ctx, c, "forget bad ids", learnScript, args...)
}

// Release gives pairs that a dead letter opened, and that lost the letter since, back to their part.
func (l *Ledger) Release(ctx context.Context, rec PartRecord, letter string) error {
	// The part itself may be being called: its mark stays.
	c := &Claim{Part: rec.Part, def: rec.Part, State: rec.State, StaysBegun: true}
	return l.Note(ctx, c, func(s *PartState) {
		for i := range s.outcomes {
			if o := &s.outcomes[i]; o.Kind == Pending && o.Letter == letter {
				o.Letter = ""
			}
		}
	})
}
