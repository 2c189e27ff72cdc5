package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// Erasure says who is to be forgotten in the record of one job, and who wants it.
type Erasure struct {
	JobID string
	// Names are the people, with what stands in their place from now on.
	Names forget.Names
	// By and Why are for the audit, which keeps that somebody was forgotten and not who. Why has none of the ids.
	By, Why string
	// Letters counts the dead letters that were given up or cut for it.
	Letters int
}

// Erased counts what of a job is about people who are to be forgotten.
type Erased struct {
	Pairs int64
	// Known says that the job has a record.
	Known bool
	// Changed says that there is something of them in the record at all, be it a word in a reason.
	Changed bool
	// NamedAfter says that the job is theirs and that its id, which is part of all its keys, names one of them or has their hash:
	// then Drop erases it.
	NamedAfter bool
	// Doubtful says that its id may name one of them, or somebody else. If nothing but the id is left of the job, it is both.
	Doubtful bool
}

// UnfinishedError says that a job has not ended, so that nothing of it is erased.
type UnfinishedError struct{ Job Job }

func (e *UnfinishedError) Error() string { return e.Unwrap().Error() }

// Unwrap is its text, which can be said in other languages.
func (e *UnfinishedError) Unwrap() error {
	return texts.T("job %s has not ended (%s): nothing of it is erased", e.Job.JobID, InWords(e.Job.State))
}

// The texts of a job and of its audit in which somebody may be named. Names of those who submitted, cancelled or approved are
// not among them: the record says who acted.
var (
	jobTexts   = []string{"source", "reason", "cancel_reason", "restores", "restored_by", "refusal"}
	auditTexts = []string{"why", "source", "unreadable", "entry", "restores"}
)

// change of one field, as lua/erase.lua takes it.
type fieldChange struct{ key, field, old, new string }

// Erasable counts what of a job Erase would change, with its errors.
func (l *Ledger) Erasable(ctx context.Context, e Erasure) (Erased, error) {
	_, done, err := l.erasing(ctx, e)
	return done, err
}

// Erase puts stand-ins in the place of people in the record of a finished job and in its audit trail. Counts and outcomes
// stay: it is the same number of people, of whom nobody knows any more who they were. A job that has not ended gives an
// *UnfinishedError. Again is harmless, and finishes an erasure that was interrupted.
func (l *Ledger) Erase(ctx context.Context, e Erasure) (Erased, error) {
	for {
		changes, done, err := l.erasing(ctx, e)
		if err != nil {
			return done, err
		}
		moved, err := l.erase(ctx, e, changes, done)
		if err != nil {
			return done, fmt.Errorf("erase people of job %s: %w", e.JobID, err)
		}
		if !moved {
			return done, l.eraseTrail(ctx, e)
		}
	}
}

// erase writes the changes, and reports whether the record moved meanwhile, so that it has to be read again.
func (l *Ledger) erase(ctx context.Context, e Erasure, changes []fieldChange, done Erased) (moved bool, err error) {
	if len(changes) == 0 {
		return false, nil
	}
	entry, err := encodeEntry(Entry{At: l.now(), Event: EventErased, JobID: e.JobID, By: e.By, Why: e.Why, Pairs: done.Pairs, Letters: e.Letters})
	if err != nil {
		return false, err
	}
	for some := range slices.Chunk(changes, 200) {
		args := []any{entry}
		for _, c := range some {
			args = append(args, c.key, c.field, c.old, c.new)
		}
		reply, err := l.run(ctx, eraseScript, e.JobID, args...)
		if err != nil {
			return false, err
		}
		switch reply[0].(int64) {
		case 0:
			return true, nil
		case -1:
			job, err := l.Get(ctx, e.JobID)
			if err == nil {
				err = &UnfinishedError{Job: job}
			}
			return false, err
		case -2:
			return false, nil // its retention has just passed
		}
		entry = ""
	}
	return false, nil
}

// erasing reads the record of a job, and what of it would change.
func (l *Ledger) erasing(ctx context.Context, e Erasure) ([]fieldChange, Erased, error) {
	k := keys(e.JobID)
	var fields, parts, states, bad *redis.MapStringStringCmd
	var seen *redis.StringCmd
	if _, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		fields, parts, states, bad = p.HGetAll(ctx, k[keyJob]), p.HGetAll(ctx, k[keyParts]), p.HGetAll(ctx, k[keyState]), p.HGetAll(ctx, k[keyBad])
		seen = p.Get(ctx, k[keySeen])
		return nil
	}); err != nil && !errors.Is(err, redis.Nil) {
		return nil, Erased{}, fmt.Errorf("read job %s: %w", e.JobID, err)
	}
	if len(fields.Val()) == 0 {
		fit := e.Names.Fits(e.JobID)
		if trails, err := l.rdb.Exists(ctx, k[keyAudit]).Result(); err != nil || trails == 0 && fit == forget.FitMaybe {
			// Its id may be left in an index: it helps nobody there, whoever is meant.
			return nil, Erased{NamedAfter: true, Doubtful: true}, wrapped("read job "+e.JobID, err)
		}
		return nil, Erased{NamedAfter: fit == forget.FitSure, Doubtful: fit == forget.FitMaybe}, nil // the trail at most is left
	}
	decoded := make(map[string]*tasks.Part, len(parts.Val()))
	var about []string
	for name, payload := range parts.Val() {
		part, err := tasks.Decode([]byte(payload))
		if err != nil {
			return nil, Erased{}, fmt.Errorf("part %s of job %s: %w", name, e.JobID, err)
		}
		decoded[name], about = part, append(about, part.UserIDs...)
	}
	fit := e.Names.FitsAmong(e.JobID, about)
	x := erasing{names: e.Names, done: Erased{Known: true, NamedAfter: fit == forget.FitSure, Doubtful: fit == forget.FitMaybe}}
	if job := l.job(e.JobID, fields.Val()); !job.State.Finished() {
		return nil, x.done, &UnfinishedError{Job: job}
	}
	err := errors.Join(x.job(fields.Val()), x.parts(decoded, states.Val()), x.snapshot([]byte(seen.Val())))
	if err != nil {
		return nil, x.done, fmt.Errorf("job %s: %w", e.JobID, err)
	}
	x.states(states.Val())
	x.bad(bad.Val())
	if x.asked {
		// They are sums over the pairs, from which a short list of candidates would tell who was meant.
		x.change("job", "content", "", erasedContent)
		x.change("job", "plan", "", erasedContent)
	}
	x.done.Changed = len(x.changes) > 0
	return x.changes, x.done, nil
}

// erasing gathers what of the record of a job names people.
type erasing struct {
	names   forget.Names
	changes []fieldChange
	done    Erased
	asked   bool // people are among those whom the job is about
}

func (x *erasing) change(key, field, old, new string) {
	x.changes = append(x.changes, fieldChange{key, field, old, new})
}

func (x *erasing) job(fields map[string]string) error {
	for _, name := range jobTexts {
		if old := fields[name]; x.names.Value(name, old) != old {
			x.change("job", name, old, x.names.Value(name, old))
		}
	}
	old := fields["unresolved_rows"]
	if old == "" {
		return nil
	}
	var rows []snapshot.Unresolved
	if err := json.Unmarshal([]byte(old), &rows); err != nil {
		return fmt.Errorf("unresolved rows: %w", err)
	}
	if !eraseRows(rows, x.names) {
		return nil
	}
	without, err := json.Marshal(rows)
	if err == nil {
		x.change("job", "unresolved_rows", old, string(without))
	}
	return err
}

func (x *erasing) parts(parts map[string]*tasks.Part, states map[string]string) error {
	for name, part := range parts {
		if !x.names.Has(part.UserIDs) {
			continue
		}
		state, err := decodeState(states[name], part.Pairs())
		if err != nil {
			return fmt.Errorf("part %s: %w", name, err)
		}
		if state.Children == 0 { // else the pairs are the children's
			for user := range part.EachOwned() {
				if _, known := x.names[user]; known {
					x.done.Pairs++
				}
			}
		}
		ErasePart(part, x.names)
		without, err := part.Encode()
		if err != nil {
			return err
		}
		x.asked = true
		x.change("parts", name, "", string(without))
	}
	return nil
}

func (x *erasing) states(states map[string]string) {
	for name, old := range states {
		if strings.HasPrefix(name, verifiedField) {
			if without := x.names.JSON(old, "why"); without != old {
				x.change("state", name, old, without)
			}
			continue
		}
		version, body, _ := strings.Cut(old, "|")
		if without := x.names.JSON(body, "msg"); without != body {
			x.change("state", name, old, fmt.Sprintf("%d|%s", parseInt(version)+1, without))
		}
	}
}

func (x *erasing) bad(bad map[string]string) {
	for name, why := range bad {
		if isBadField(x.names, name) {
			x.change("bad", name, "", "")
		} else if without := x.names.JSON(why, "errmsg"); without != why {
			x.change("bad", name, "", without)
		}
	}
}

// snapshot is of what a preflight saw; empty where there was none.
func (x *erasing) snapshot(seen []byte) error {
	if len(seen) == 0 {
		return nil
	}
	without, changed, err := eraseSnapshot(seen, x.names)
	if err == nil && changed {
		x.asked = true
		x.change("seen", "", "", string(without))
	}
	return err
}

// erasedContent is the content of a job some of whose people were forgotten: nothing is the same as it.
const erasedContent = "erased"

// ErasePart puts stand-ins in the place of people of a part.
func ErasePart(p *tasks.Part, names forget.Names) {
	p.UserIDs = names.List(p.UserIDs)
	for i, s := range p.Scopes {
		if instead, known := names[s.UserID]; known {
			p.Scopes[i].UserID = instead
		}
	}
	if f := p.Failure; f != nil {
		f.ErrMsg = names.Text(f.ErrMsg)
	}
}

func eraseSnapshot(data []byte, names forget.Names) (without []byte, changed bool, err error) {
	s, err := snapshot.Decode(data)
	if err != nil {
		return nil, false, err
	}
	rename := func(p *snapshot.Pair) {
		if instead, known := names[p.UserID]; known {
			p.UserID, changed = instead, true
		}
	}
	for i := range s.NotHeld {
		rename(&s.NotHeld[i])
	}
	for i := range s.Scopes {
		rename(&s.Scopes[i].Pair)
	}
	if eraseRows(s.Rows, names) {
		changed = true
	}
	if !changed {
		return nil, false, nil
	}
	without, err = s.Encode()
	return without, true, err
}

// eraseRows takes people from those who might have been meant by what was not resolved: a name would tell who they are.
func eraseRows(rows []snapshot.Unresolved, names forget.Names) (changed bool) {
	for i := range rows {
		r := &rows[i]
		candidates := len(r.Candidates)
		r.Candidates = slices.DeleteFunc(r.Candidates, func(c snapshot.Candidate) bool { return names.Has([]string{c.UserID}) })
		if len(r.Candidates) < candidates || names.Text(r.Detail) != r.Detail {
			r.Detail, changed = snapshot.ErasedDetail, true
		}
	}
	return changed
}

// eraseTrail takes the people out of the texts of a job's audit trail.
func (l *Ledger) eraseTrail(ctx context.Context, e Erasure) error {
	var args []any
	if err := l.Trail(ctx, e.JobID, "", func(t TrailEntry) error {
		if without := e.Names.JSON(t.JSON, auditTexts...); without != t.JSON {
			args = append(args, t.ID, without)
		}
		return nil
	}); err != nil || args == nil {
		return err
	}
	if _, err := l.run(ctx, eraseTrailScript, e.JobID, args...); err != nil {
		return fmt.Errorf("erase people of the audit trail of job %s: %w", e.JobID, err)
	}
	return nil
}
