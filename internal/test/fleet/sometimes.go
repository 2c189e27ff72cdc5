package fleet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// situations have to come up, each at least once, in a run of many histories: who never meets them proves nothing about
// them.
var situations = append([]string{
	"the lead changed",
	"the lead changed while a search went on",
	"the lead changed while calls were under way",
	"a frozen leader woke up when another one led",
	"a process ended before an operation",
	"a process ended after an operation",
	"the reply to a settlement was lost",
	"a worker ended right after a settlement",
	"a job was cancelled while calls were under way",
	"a job was cancelled between claim and call",
	"a job was cancelled in a search",
	"a job was cancelled at a letter",
	"a job was cancelled before a scope",
	"somebody was to stay in a search",
	"somebody was to stay during a call",
	"a cancelled job had removed something",
	"a hold began",
	"a hold began while a part was split",
	"an operator ended the hold of the quota",
	"the fleet was throttled",
	"a token ran out before its time",
	"a call took effect and its answer was lost",
	"a pair was called twice",
	"one call served two jobs",
	"two bad users were in one call",
	"a part was split",
	"a dead letter was tried again and refused again",
	"a dead letter was tried again and removed",
	"a dead letter was discarded",
	"a protected user was kept",
	"a system role was refused",
	"an archived task was set aside",
	"a scheduled job ran",
	"a job waited for its approval",
	"a message of the webhook arrived twice",
	"a frozen worker sent a call when it woke up",
	"Redis lost what it had said of a removal",
	"Redis lost a submission that it had taken",
	"Redis lost a dead letter that was just enqueued",
}, slices.Concat(talked, namedSituations, refusalNames())...)

// talked are the situations of a talk.
var talked = []string{
	"a restore gave back what a removal had taken",
	"a removal took what a restore had given back",
	"a management scope was given back",
	"a restore was made of what a job had taken",
}

func refusalNames() []string {
	var names []string
	for _, r := range refusals {
		names = append(names, refusalName(r))
	}
	return names
}

func refusalName(reply string) string {
	if _, inner, inside := strings.Cut(reply, "@user_script:1: -"); inside {
		return "Redis refused inside a script: " + strings.Fields(inner)[0]
	}
	return "Redis refused: " + strings.Fields(reply)[0]
}

// saw counts a situation.
func (w *world) saw(what string, is bool) {
	if is {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.situations[what]++
	}
}

// sawUnder is saw for whoever holds w.mu.
func (w *world) sawUnder(what string, is bool) {
	if is {
		w.situations[what]++
	}
}

// look looks at the world after an operation; everything stands still meanwhile. What it checks has to hold at any moment.
func (w *world) look(o *operation, f fate) {
	if f.kind == refused {
		w.saw(refusalName(f.says), true)
	}
	w.lookAtLead()
	w.lookAtNamed()
	w.settled = false
	for _, j := range w.plan.jobs {
		if !concerns(o.what, j.ID) {
			continue
		}
		key := "unrole:job:{" + j.ID + "}"
		count := func(field string) int64 {
			n, _ := strconv.ParseInt(w.redis.memory.HGet(key, field), 10, 64)
			return n
		}
		total, removed, dead, cancelled := count("total"), count("removed"), count("dead"), count("cancelled")
		if total == 0 {
			continue
		}
		if pending := total - removed - dead - cancelled; j.restores == nil && j.Named == nil && total > int64(len(j.Pairs)) || min(removed, dead, cancelled, pending) < 0 || removed < w.removed[j.ID] {
			w.broken("counted once: %s of %d pairs has total %d, removed %d (after %d), dead %d, cancelled %d", j.ID, len(j.Pairs), total, removed, w.removed[j.ID], dead, cancelled)
		}
		w.settled = w.settled || removed > w.removed[j.ID]
		w.removed[j.ID] = max(removed, w.removed[j.ID])
	}
	w.saw("the reply to a settlement was lost", w.settled && f.kind == cutAfter)
	w.saw("a worker ended right after a settlement", w.settled && f.kind == dieAfter)
	w.lookAtMoments(o)
}

// concerns reports whether an operation can have changed the record of a job: a week has a hundred times more operations that
// cannot.
func concerns(what, jobID string) bool {
	return strings.Contains(what, "{"+jobID+"}") || strings.HasSuffix(what, unnamed)
}

func (w *world) lookAtLead() {
	now, err := w.redis.memory.Get("unrole:{lead}")
	if err != nil || now == w.leader {
		return
	}
	changed := w.leader != ""
	w.leader = now
	if changed {
		w.leads = append(w.leads, time.Now())
	}
	w.saw("the lead changed", changed)
	w.saw("the lead changed while a search went on", changed && time.Since(w.lastRefusal) < time.Second)
	w.saw("the lead changed while calls were under way", changed && w.underWay() > 0)
}

// underWay is how many calls of DingTalk are neither answered nor given up.
func (w *world) underWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calling
}

// badID are the codes that a search begins with.
var badID = []string{"33012", "60121", "40031", "400002", "60011"}

// lookBack names what came up in a history, at its end.
func (w *world) lookBack(h *promises.History) {
	for _, c := range h.Calls {
		w.saw("a hold began", slices.Contains([]string{"60011", "60020", "50003"}, c.Code))
		w.saw("the fleet was throttled", c.Code == "90002" || c.Code == "90018")
		w.saw("a token ran out before its time", c.Code == "42001" || c.Code == "40014")
		w.saw("a call took effect and its answer was lost", c.Code == "0" && c.Lost)
		bad := 0
		for _, u := range c.Users {
			if _, is := h.Bad[u]; is {
				bad++
			}
		}
		w.saw("two bad users were in one call", bad > 1)
		jobs := map[string]bool{}
		for _, j := range h.Jobs {
			inAll, some := true, false
			for _, u := range c.Users {
				for _, r := range c.Roles {
					asked := j.Pairs[promises.Pair{User: u, Role: r}]
					inAll, some = inAll && asked, some || asked
				}
			}
			if some && !inAll {
				jobs[j.ID] = true
			}
		}
		w.saw("one call served two jobs", len(jobs) > 1)
	}
	split := false
	for _, key := range w.redis.memory.Keys() {
		w.saw("a dead letter was tried again and refused again", strings.HasPrefix(key, "asynq:{dead-letter}:t:") && strings.Contains(key, "~"))
		if strings.HasPrefix(key, "asynq:{") && strings.HasSuffix(key, ":0.0") {
			split = true
		}
	}
	w.saw("a part was split", split)
	w.saw("a hold began while a part was split", split && w.situations["a hold began"] > 0)
	for _, j := range h.Jobs {
		w.saw("a cancelled job had removed something", !j.Cancelled.IsZero() && j.Counts.Cancelled > 0 && j.Counts.Removed > 0)
		w.saw("a dead letter was discarded", len(j.Discarded) > 0)
		for p, end := range j.Ends {
			w.saw("a protected user was kept", end.Reason == tasks.ReasonProtected)
			w.saw("a system role was refused", end.Reason == tasks.ReasonSystemRole)
			w.saw("an archived task was set aside", end.Reason == tasks.ReasonCrashed)
			_, was := h.Bad[p.User]
			w.saw("a dead letter was tried again and removed", was && h.Mended[p.User] && end.Outcome == "removed")
			w.saw("a pair was called twice", h.Sim.Called(p.User, p.Role) > 1)
		}
	}
	for _, j := range w.plan.jobs {
		w.saw("a scheduled job ran", j.starts > 0 && j.Counts.Removed > 0)
		w.saw("a job waited for its approval", j.waits)
	}
	w.lookBackAtWords()
	w.lookBackAtNames()
	for _, times := range w.told {
		w.saw("a message of the webhook arrived twice", times > 1)
	}
}
