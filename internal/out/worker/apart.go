package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/isolate"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

// condemn sets the pairs of a user, a role or a pair that was proven bad apart, and tells the job of an id, so that no
// other batch of it searches for the same.
func (v *visit) condemn(culprit isolate.Culprit, about pairs.Rectangle, f tasks.Failure) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	// What was busy or unknown here may be fine elsewhere: only ids that DingTalk named are known for the whole job.
	if f.Reason != tasks.ReasonBusy && f.Reason != tasks.ReasonUnknown && culprit != isolate.BadPair {
		err := v.w.persist(func(ctx context.Context) error {
			field := ""
			if culprit == isolate.BadUser {
				field = ledger.UserField(v.part.UserIDs[about.Users[0]])
			} else {
				field = ledger.RoleField(v.part.RoleIDs[about.Roles[0]])
			}
			return v.w.cfg.Ledger.Learn(ctx, v.claim, field, f)
		})
		if err != nil {
			return err
		}
	}
	return v.deadLetter(about, f)
}

// deadLetter sets the open pairs of a rectangle apart, nil meaning all users or all roles. mu is held.
func (v *visit) deadLetter(about pairs.Rectangle, f tasks.Failure) error {
	c := v.claim
	within := pairs.SizeOf(c.Part).Whole()
	if about.Users != nil {
		within.Users = about.Users
	}
	if about.Roles != nil {
		within.Roles = about.Roles
	}
	open := c.Open().Within(within)
	if !open.Any() {
		return nil
	}
	letter := cutOut(c.Part, open)
	f.Queue = v.laneName()
	f.Attempts = max(f.Attempts, 1)
	if old := c.Part.Failure; old != nil && !f.FailedAt.Equal(old.FailedAt) { // the same failure is no other attempt
		f.Attempts += old.Attempts
	}
	letter.Failure, letter.Part = &f, letterName(c, about)
	if err := v.setDead(letter, open); err != nil {
		return err
	}
	v.log.Warn().Str("letter", letter.Part).Str("reason", string(f.Reason)).Int("errcode", f.ErrCode).Str("sub_code", f.SubCode).
		Str("errmsg", f.ErrMsg).Str("request_id", f.RequestID).Strs("users", firstFew(letter.UserIDs)).
		Ints64("roles", letter.RoleIDs).Msg("dead letter")
	return nil
}

// setDead enqueues the letter of pairs and then has the ledger count them as dead, so that a crash in between repeats both and
// loses neither. A Redis that was started again in between may have lost the letter: it takes no such count, and what was enqueued
// there is taken back. In a Cluster another node may have been, so it is looked at the end whether the letter is still there. Pairs that
// were cancelled in between are taken out of the letter, and one that has no others is taken back. mu is held.
func (v *visit) setDead(letter *tasks.Part, dead pairs.Set) error {
	if err := v.putLetter(letter); err != nil {
		return err
	}
	if err := v.settle(dead, heldBy(letter)); err != nil {
		if errors.Is(err, ledger.ErrReplaced) {
			v.takeUncounted(letter)
		}
		return err
	}
	held := v.claim.DeadIn(letter.Part)
	if !held.Any() {
		v.log.Warn().Str("letter", letter.Part).Msg("the dead letter is taken back: its pairs were cancelled meanwhile")
		v.w.letters.takeBack(v.w.ending, letter.TaskID(), v.lead)
		return nil
	}
	rest := cutOut(v.claim.Part, held)
	rest.Part, rest.Failure = letter.Part, letter.Failure
	return v.keepCounted(rest)
}

// keepCounted has a letter be there if the record counts it, and else not. mu is held.
func (v *visit) keepCounted(letter *tasks.Part) error {
	var state asynq.TaskState
	var counted bool
	pauses := wait.Backoff{First: 50 * time.Millisecond, Most: time.Second}
	for tries := 1; ; tries++ {
		if err := v.w.persist(func(ctx context.Context) (err error) {
			if state, err = v.w.letters.keep(ctx, letter, v.lead); err == nil {
				counted, err = v.w.cfg.Ledger.HasLetter(ctx, letter)
			}
			return err
		}); err != nil {
			return err
		}
		// Whoever tries it again already may have looked before the count, and end it for nothing.
		if state != asynq.TaskStateActive || !counted || !v.w.lead.Leads(v.lead) || wait.For(v.w.ending, pauses.After(tries)) != nil {
			break
		}
	}
	switch {
	case counted && state == 0:
		return v.putLetter(letter)
	case !counted && state != 0: // a Redis that was started again has lost the count
		v.w.letters.takeBack(v.w.ending, letter.TaskID(), v.lead)
	}
	return nil // else it is as it should be, or was tried again meanwhile
}

// takeUncounted takes a letter back that Redis does not count: its pairs may wait in another one, as Redis has it.
func (v *visit) takeUncounted(letter *tasks.Part) {
	counted, err := v.w.cfg.Ledger.HasLetter(v.w.ending, letter)
	if err != nil {
		v.log.Warn().Str("letter", letter.Part).Err(err).Msg("the dead letter stays: the record of its job is not read")
	} else if !counted {
		v.w.letters.takeBack(v.w.ending, letter.TaskID(), v.lead)
	}
}

// reopen makes the pairs of a dead letter that is tried again pending. mu is held.
func (v *visit) reopen() error {
	err := v.settle(v.claim.Dead(), ledger.Outcome{Kind: ledger.Pending, Letter: v.part.Part})
	v.w.turns.forget(v.part.JobID)
	return err
}

// setAside makes one dead letter of everything that is open.
func (v *visit) setAside(f tasks.Failure) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.part.Failure != nil {
		// A letter that was made due and not begun yet has dead pairs; they are its own and go with it.
		if err := v.reopen(); err != nil {
			return err
		}
	}
	return v.deadLetter(pairs.Rectangle{}, f)
}

// keepLetter puts a letter back that was made due although its job is cancelled. Pairs that it had opened before the
// cancel are dead no more, and not its own any longer. mu is held.
func (v *visit) keepLetter() error {
	dead := v.claim.Dead()
	if !dead.Any() {
		return nil
	}
	letter := cutOut(v.part, dead)
	letter.Failure, letter.Part = v.part.Failure, tasks.NextGeneration(v.part.Part)
	v.log.Warn().Str("letter", letter.Part).Msg("the job is cancelled: the dead letter is not tried again")
	return v.setDead(letter, dead)
}

// heldBy is the outcome of the pairs of a letter.
func heldBy(letter *tasks.Part) ledger.Outcome {
	f := letter.Failure
	return ledger.Outcome{Kind: ledger.Dead, Letter: letter.Part, Reason: f.Reason, ErrCode: f.ErrCode, SubCode: f.SubCode,
		ErrMsg: f.ErrMsg, RequestID: f.RequestID, Attempts: f.Attempts, At: f.FailedAt}
}

// putLetter enqueues a letter of the task, under the next generation of its name if that is taken by other pairs.
func (v *visit) putLetter(letter *tasks.Part) error {
	return v.w.persist(func(ctx context.Context) error {
		_, err := v.w.letters.put(trace.Within(ctx, v.parent), letter, letter.TaskID(), v.id, func(have *tasks.Part) bool { return covers(have, letter) })
		return err
	})
}

// letterName names a letter by its place in the batch, always the same for the same id: the letter of a letter is its
// next generation.
func letterName(c *ledger.Claim, about pairs.Rectangle) string {
	batch := tasks.BatchName(c.Part.Part)
	u, r := pairs.User(-1), pairs.Role(-1)
	if len(about.Users) == 1 {
		u, _ = c.InBatch(about.Users[0], 0)
	}
	if len(about.Roles) == 1 {
		_, r = c.InBatch(0, about.Roles[0])
	}
	name := tasks.WholeLetter(batch)
	switch {
	case u >= 0 && r >= 0:
		name = tasks.PairLetter(batch, int(u), int(r))
	case u >= 0:
		name = tasks.UserLetter(batch, int(u))
	case r >= 0:
		name = tasks.RoleLetter(batch, int(r))
	}
	if c.Part.Failure != nil {
		return tasks.WithGeneration(name, tasks.Generation(c.Part.Part)+1)
	}
	return name
}

// covers reports whether every pair that b owns is one that a owns.
func covers(a, b *tasks.Part) bool {
	for user, role := range b.EachOwned() {
		u, r := slices.Index(a.UserIDs, user), slices.Index(a.RoleIDs, role)
		if u < 0 || r < 0 || !a.Own.Has(pairs.SizeOf(a).Number(pairs.User(u), pairs.Role(r))) {
			return false
		}
	}
	return true
}

// cutOut is a part of some pairs of p, without a name.
func cutOut(p *tasks.Part, some pairs.Set) *tasks.Part {
	hull := some.Hull()
	cut := &tasks.Part{JobID: p.JobID, Action: p.Action, Own: some.Owned(hull)}
	for _, u := range hull.Users {
		cut.UserIDs = append(cut.UserIDs, p.UserIDs[u])
	}
	for _, r := range hull.Roles {
		cut.RoleIDs = append(cut.RoleIDs, p.RoleIDs[r])
	}
	cut.Scopes = p.ScopesOf(cut)
	return cut
}

// firstFew keeps log lines short.
func firstFew(ids []string) []string { return ids[:min(len(ids), 5)] }
