package enqueue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/tasks"
)

// PlanOf covers the removals with parts of at most one call each, in close to the fewest calls possible. The same
// removals in the same order always give the same parts.
func PlanOf(r *Removals, jobID string) []tasks.Part { return plan(r, jobID, tasks.Remove) }

// RestoreOf is PlanOf for giving back: its calls take fewer users.
func RestoreOf(r *Removals, jobID string) []tasks.Part { return plan(r, jobID, tasks.Add) }

func plan(r *Removals, jobID string, action tasks.Action) []tasks.Part {
	calls := cover.Plan(r.matrix(), pairs.MostOf(action))
	parts := make([]tasks.Part, len(calls))
	users, roles := r.Users(), r.Roles()
	for i, call := range calls {
		p := tasks.Part{V: action.Version(), JobID: jobID, Part: fmt.Sprint(i), Action: action, Own: call.Own,
			UserIDs: make([]string, len(call.Users)), RoleIDs: make([]int64, len(call.Roles))}
		for j, u := range call.Users {
			p.UserIDs[j] = users[u]
		}
		for j, role := range call.Roles {
			p.RoleIDs[j] = roles[role]
		}
		parts[i] = p
	}
	return parts
}

// putScopes gives each part that adds the management scopes of its own pairs.
func putScopes(parts []tasks.Part, seen *Snapshot) {
	if seen == nil {
		return
	}
	scopes := make(map[SnapshotPair][]int64, len(seen.Scopes))
	for _, s := range seen.Scopes {
		scopes[s.Pair] = s.Departments
	}
	for i := range parts {
		if p := &parts[i]; p.Action == tasks.Add {
			for user, role := range p.EachOwned() {
				if departments := scopes[SnapshotPair{UserID: user, RoleID: role}]; departments != nil {
					p.Scopes = append(p.Scopes, tasks.Scope{UserID: user, RoleID: role, Departments: departments})
				}
			}
		}
	}
}

var limits = pairs.MostOf(tasks.Remove)

// Savings says what the simple ways of removing the same pairs would take, in calls.
type Savings struct{ OnePerUser, OnePerRoleSet, OnePerRole int }

// SavingsOf counts the calls of the simple ways.
func SavingsOf(r *Removals) Savings {
	m := r.matrix()
	return Savings{OnePerUser: cover.OnePerUser(m, limits), OnePerRoleSet: cover.OnePerRoleSet(m, limits), OnePerRole: cover.OnePerRole(m, limits)}
}

func planDigest(parts []tasks.Part) (string, error) {
	h := sha256.New()
	for i := range parts {
		b, err := parts[i].Encode()
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// checkPlan refuses a plan that is not one of the submission's pairs, each in the hands of one call.
func checkPlan(s *Submission) error {
	if s.Plan == nil {
		return nil
	}
	planned := &Removals{}
	names := make(map[string]bool, len(s.Plan))
	for i := range s.Plan {
		p := &s.Plan[i]
		switch err := p.Validate(); {
		case err != nil:
			return fmt.Errorf("call %d of the plan: %w", i, err)
		case p.JobID != s.JobID:
			return fmt.Errorf("call %d of the plan is of job %s, the submission is job %s: plan with the submission's job id", i, p.JobID, s.JobID)
		case p.Action != s.Action:
			return fmt.Errorf("call %d of the plan does something else than the submission", i)
		case !p.Fits():
			return fmt.Errorf("call %d of the plan is larger than a call may be", i)
		case names[p.Part]:
			return fmt.Errorf("two calls of the plan are named %s", p.Part)
		}
		names[p.Part] = true
		if err := planned.addOwned(p); err != nil {
			return fmt.Errorf("call %d of the plan %w", i, err)
		}
	}
	if planned.Digest() != s.Removals.Digest() {
		return fmt.Errorf("the plan has %d pairs of other content than the %d of the removals: plan these removals", planned.Pairs(), s.Removals.Pairs())
	}
	return nil
}

// addOwned adds the pairs that a call of a plan owns; one that is there already has two owners.
func (r *Removals) addOwned(p *tasks.Part) error {
	for user, role := range p.EachOwned() {
		if !r.Add(user, role) {
			return fmt.Errorf("owns %s/%d a second time", user, role)
		}
	}
	return nil
}
