package worker

import (
	"context"
	"slices"
	"sync"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/trace"
	"github.com/unrole/unrole/internal/out/combine"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/tasks"
)

// api is the call of one action, with its pace and with all that waits for it. Actions share nothing of these: what is
// removed and what is given back never meet in a call.
type api struct {
	action   tasks.Action
	pacer    Pacer
	dispatch *dispatcher
	jobs     *jobs
	searches *searches
	hints    *hints
	// witnesses are what may be repeated to prove that DingTalk is up.
	witnesses *witnesses
	tempo     tempo

	mu     sync.Mutex
	flying map[*group]struct{} // called, or searched
}

func newAPI(action tasks.Action, pacer Pacer, calls Caller, inFlight int) *api {
	return &api{action: action, pacer: pacer, dispatch: newDispatcher(pacer, calls.Prepare, inFlight, pairs.MostOf(action)),
		jobs: newJobs(), searches: newSearches(), hints: newHints(), witnesses: newWitnesses(), flying: map[*group]struct{}{}}
}

// run makes the calls until ctx ends.
func (a *api) run(ctx context.Context, w *Worker) {
	a.dispatch.run(ctx, func(s slot, c combine.Call) { w.call(a, s, c) })
}

// flies notes a group whose calls are under way, until the end.
func (a *api) flies(g *group) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flying[g] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.flying, g)
	}
}

// isAbout reports whether calls under way may be about a pair of the part. A search repeats pairs that are settled.
func (a *api) isAbout(part *tasks.Part) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for g := range a.flying {
		if slices.ContainsFunc(g.users, func(id string) bool { return slices.Contains(part.UserIDs, id) }) &&
			slices.ContainsFunc(g.roles, func(id int64) bool { return slices.Contains(part.RoleIDs, id) }) {
			return true
		}
	}
	return false
}

// other is the API that undoes what this one does.
func (w *Worker) other(a *api) *api {
	if a.action == tasks.Add {
		return w.apis[tasks.Remove]
	}
	return w.apis[tasks.Add]
}

// send asks DingTalk for what the group is about.
func (w *Worker) send(ctx context.Context, g *group, roles []int64, users []string) (dingtalk.Reply, error) {
	switch {
	case g.scope != nil:
		return w.cfg.DingTalk.SetScope(ctx, roles[0], users[0], g.scope)
	case g.api.action == tasks.Add:
		return w.cfg.DingTalk.AddRoles(ctx, roles, users)
	default:
		return w.cfg.DingTalk.RemoveRoles(ctx, roles, users)
	}
}

// traced begins the span of a call that serves the tasks of a group.
func (w *Worker) traced(g *group, roles, users int, isolating bool) *trace.Span {
	if w.cfg.Trace == nil {
		return nil
	}
	api := "removerolesforemps"
	switch {
	case g.scope != nil:
		api = "role/scope/update"
	case g.api.action == tasks.Add:
		api = "addrolesforemps"
	}
	serves := make([]*trace.Span, len(g.members))
	for i, m := range g.members {
		serves[i] = m.span
	}
	return w.cfg.Trace.Call(w.ending, serves, api, roles, users, isolating)
}
