package erase

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"github.com/unrole/unrole/internal/base/queue"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/record/webhook"
	"github.com/unrole/unrole/tasks"
)

// messageTexts are the texts of a webhook's message in which somebody may be named.
var messageTexts = []string{"source", "reason", "cancel_reason", "restores", "refusal"}

// isNamed reports whether a task has something of the people.
func (e *eraser) isNamed(s queue.Stored) bool {
	if e.names.Text(s.LastErr) != s.LastErr {
		return true
	}
	if s.Queue == webhook.Queue {
		return !bytes.Equal(e.message(s.Payload), s.Payload)
	}
	part, err := tasks.Decode(s.Payload)
	if err != nil {
		return e.hasBytes(s.Payload)
	}
	if f := part.Failure; f != nil && (e.hasBytes(f.Payload) || e.names.Text(f.ErrMsg) != f.ErrMsg) {
		return true
	}
	return e.names.Has(part.UserIDs)
}

// doubts reports whether a task has a text that may be about one of the people.
func (e *eraser) doubts(s queue.Stored) bool {
	if e.names.Doubts(s.LastErr) || s.Queue == webhook.Queue && e.names.DoubtsJSON(string(s.Payload), messageTexts...) {
		return true
	}
	part, err := tasks.Decode(s.Payload)
	return err == nil && part.Failure != nil && e.names.Doubts(part.Failure.ErrMsg)
}

// message is a message of the webhook without the people, neither in its texts nor among those who might have been meant by a
// name.
func (e *eraser) message(payload []byte) []byte {
	text := []byte(e.names.JSON(string(payload), messageTexts...))
	numbers := json.NewDecoder(bytes.NewReader(text))
	numbers.UseNumber()
	var m any
	if numbers.Decode(&m) != nil || !e.dropCandidates(m) {
		return text
	}
	without, err := json.Marshal(m)
	if err != nil {
		return text
	}
	return without
}

// dropCandidates takes the people out of every list of candidates in a value, and reports whether there was one of them.
func (e *eraser) dropCandidates(value any) (dropped bool) {
	switch v := value.(type) {
	case map[string]any:
		if list, ok := v["candidates"].([]any); ok {
			kept := slices.DeleteFunc(list, func(c any) bool {
				candidate, _ := c.(map[string]any)
				id, _ := candidate["user_id"].(string)
				return e.names.Has([]string{id})
			})
			if v["candidates"] = kept; len(kept) < len(list) {
				v["detail"], dropped = snapshot.ErasedDetail, true
			}
		}
		for _, child := range v {
			dropped = e.dropCandidates(child) || dropped
		}
	case []any:
		for _, child := range v {
			dropped = e.dropCandidates(child) || dropped
		}
	}
	return dropped
}

// hasBytes reports whether something that could not be read names one of the people.
func (e *eraser) hasBytes(data []byte) bool {
	return slices.ContainsFunc(e.names.Quoted(), func(q string) bool { return bytes.Contains(data, []byte(q)) }) ||
		e.names.Text(string(data)) != string(data)
}

// rewrite takes the people out of a task that is over. One that cannot be read is dropped.
func (e *eraser) rewrite(ctx context.Context, s queue.Stored) error {
	if e.wish.DryRun {
		return nil
	}
	payload := s.Payload
	if s.Queue == webhook.Queue {
		payload = e.message(payload)
	} else {
		part, err := tasks.Decode(payload)
		if err != nil {
			return e.drop(ctx, s)
		}
		ledger.ErasePart(part, e.names)
		if payload, err = part.Encode(); err != nil {
			return err
		}
	}
	return queue.Rewrite(ctx, e.rdb, s, payload, e.names.Text(s.LastErr))
}

// letter gives a dead letter up that is of the people alone, and cuts them out of one that is of others too.
func (e *eraser) letter(ctx context.Context, s queue.Stored, named bool) error {
	if e.wish.DryRun {
		return nil
	}
	part, err := tasks.Decode(s.Payload)
	if err != nil || named || part.Failure != nil && e.hasBytes(part.Failure.Payload) {
		return e.drop(ctx, s)
	}
	others := without(part, e.names.Has)
	if others == nil {
		e.bare = append(e.bare, part.JobID)
		return e.drop(ctx, s)
	}
	ledger.ErasePart(others, e.names)
	payload, err := others.Encode()
	if err != nil {
		return err
	}
	return queue.Rewrite(ctx, e.rdb, s, payload, e.names.Text(s.LastErr))
}

// without is the part without some of its users, nil where nothing that it owns is left.
func without(p *tasks.Part, some func([]string) bool) *tasks.Part {
	cut := *p
	cut.UserIDs = nil
	var own []bool
	owned := false
	for u, user := range p.UserIDs {
		if some([]string{user}) {
			continue
		}
		cut.UserIDs = append(cut.UserIDs, user)
		for r := range p.RoleIDs {
			own = append(own, p.Own.Has(u*len(p.RoleIDs)+r))
			owned = owned || own[len(own)-1]
		}
	}
	if !owned {
		return nil
	}
	if p.Own != nil {
		cut.Own = tasks.OwnOf(slices.Values(own))
	}
	cut.Scopes = slices.DeleteFunc(slices.Clone(p.Scopes), func(s tasks.Scope) bool { return some([]string{s.UserID}) })
	return &cut
}
