package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/restore"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// talk adds removals and restores of overlapping pairs, each submitted when the one before it
// was: the last word about a pair is what has to hold.
func (p *plan) talk() {
	rng := rand.New(rand.NewPCG(p.seed, 5))
	p.talkAbout(rng, 3+rng.IntN(28), 1+rng.IntN(5))
}

// talkAbout adds such a talk about so many users and roles.
func (p *plan) talkAbout(rng *rand.Rand, users, roles int) {
	p.before = map[promises.Pair]bool{}
	var all []promises.Pair
	for u := range users {
		for r := range roles {
			pair := promises.Pair{User: fmt.Sprintf("talker%03d", u), Role: 1507113500 + int64(r)}
			all = append(all, pair)
			p.before[pair] = rng.IntN(8) > 0
		}
	}
	if rng.IntN(3) == 0 {
		gone := all[rng.IntN(len(all))].User
		p.bad[gone] = tasks.ReasonUserGone
		p.dingtalk.GoneUsers = append(p.dingtalk.GoneUsers, gone)
	}
	at := time.Duration(rng.Int64N(int64(p.active / 2)))
	for i := range 2 + rng.IntN(5) {
		j := &job{lane: tasks.Lanes()[rng.IntN(3)], at: at}
		j.ID, j.Pairs, j.Discarded = fmt.Sprint("word-", i), map[promises.Pair]bool{}, map[promises.Pair]bool{}
		if i > 0 && rng.IntN(4) > 0 && p.words[i-1].Action == tasks.Remove || rng.IntN(5) == 0 {
			j.Action = tasks.Add
		}
		share := 1 + rng.IntN(4)
		for _, pair := range all {
			if rng.IntN(4) < share {
				j.Pairs[pair] = true
			}
		}
		if len(j.Pairs) == 0 {
			j.Pairs[all[0]] = true
		}
		removals := slices.DeleteFunc(slices.Clone(p.words), func(word *job) bool { return word.Action != tasks.Remove })
		switch {
		case j.Action == tasks.Add && len(removals) > 0 && rng.IntN(2) == 0:
			j.restores, j.evenLater, j.Pairs = removals[rng.IntN(len(removals))], rng.IntN(2) == 0, map[promises.Pair]bool{}
			at += time.Duration(rng.Int64N(int64(2 * time.Second))) // mostly, something was taken by then
			j.at = at
		case j.Action == tasks.Add:
			j.Scopes = map[promises.Pair][]int64{}
			for _, pair := range j.sorted() {
				if rng.IntN(6) == 0 {
					j.Scopes[pair] = []int64{1 + int64(rng.IntN(3))}
				}
			}
		case rng.IntN(3) == 0:
			j.by = byIntake
		}
		if j.restores == nil && rng.IntN(8) == 0 {
			j.starts = time.Duration(1+rng.IntN(4)) * time.Second
		}
		j.waits = j.by == byCommand && rng.IntN(8) == 0
		// The next one comes at once, while this one is under way, or after it.
		at += []time.Duration{0, time.Duration(rng.Int64N(int64(300 * time.Millisecond))), time.Duration(rng.Int64N(int64(2 * time.Second)))}[rng.IntN(3)]
		p.words = append(p.words, j)
	}
	p.jobs = append(p.jobs, p.words...)
}

// disturbing are the faults that come between the words of a small talk.
var disturbing = []string{"worker killed", "worker killed at an operation", "worker stopped", "connections cut", "replies lost", "requests lost",
	"redis refuses now and then", "dingtalk busy", "dingtalk unreachable", "submission killed", "submitted twice", "job cancelled", "job repaired"}

// smallTalkOf draws a history that has nothing but a talk about few people and roles, and is over soon: many of them are played.
func smallTalkOf(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 6))
	p := plan{seed: seed, active: 3 * time.Second, workers: 1 + rng.IntN(2), qps: 40, bad: map[string]tasks.Reason{},
		pace: time.Duration(1+rng.IntN(20)) * 100 * time.Microsecond}
	p.dingtalk = simulator.Options{Seed: seed, QPS: 2 * p.qps, TokenTTL: time.Hour,
		Latency: time.Duration(rng.IntN(60)) * time.Millisecond, Jitter: time.Duration(1+rng.IntN(80)) * time.Millisecond}
	if rng.IntN(2) == 0 {
		p.dingtalk.Busy, p.dingtalk.DropBefore, p.dingtalk.DropAfter = 0.1, 0.02, 0.04
	}
	p.talkAbout(rng, 1+rng.IntN(5), 1+rng.IntN(3))
	p.events = eventsOf(rng, rng.IntN(4), p.active, disturbing)
	return p
}

// held puts what the talk is about into the directory.
func (p *plan) held(sim *simulator.Simulator) {
	for id := range int64(4) {
		sim.AddDepartment(simulator.Department{ID: 1 + id, Parent: min(id, 1), Name: fmt.Sprint("department ", id)})
	}
	for pair, held := range p.before {
		if held {
			sim.Grant(pair.User, pair.Role)
			continue
		}
		sim.AddRole(pair.Role, "", "")
		sim.Grant(pair.User)
	}
}

// talk submits the words one after the other.
func (w *world) talk() {
	for i, j := range w.plan.words {
		select {
		case <-time.After(time.Until(w.began.Add(j.at))):
		case <-w.ctx.Done():
			return
		}
		w.submit(j)
		if i > 0 {
			w.inOrder(w.plan.words[i-1], j)
		}
	}
}

// inOrder checks that a job that was submitted, and approved, before another one began to be has its turn before it.
func (w *world) inOrder(first, then *job) {
	if first.nothing || then.nothing || first.starts > 0 || then.starts > 0 {
		return
	}
	a, err := w.ledger.Get(w.ctx, first.ID)
	b, err2 := w.ledger.Get(w.ctx, then.ID)
	if err == nil && err2 == nil && a.Awaiting == "" && b.Awaiting == "" && !a.Before(b) {
		w.broken("the last word holds: %s has its turn before %s, which was submitted before it", then.ID, first.ID)
	}
}

// lateAfter is how long a call lies with a frozen process before somebody else can have the lead.
const lateAfter = 5 * time.Second

// lateCall notes the pairs of a call that a frozen process had begun and sent when it woke up: nobody can call it back, see
// docs/reliability.md, what is not promised.
func (w *world) lateCall(r *http.Request) {
	if r.Body == nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return
	}
	w.saw("a frozen worker sent a call when it woke up", strings.HasSuffix(r.URL.Path, "rolesforemps"))
	w.mu.Lock()
	defer w.mu.Unlock()
	for user := range strings.SplitSeq(form.Get("userIds")+","+form.Get("userid"), ",") {
		for text := range strings.SplitSeq(form.Get("roleIds")+","+form.Get("role_id"), ",") {
			if role, err := strconv.ParseInt(text, 10, 64); err == nil {
				w.late[promises.Pair{User: user, Role: role}] = true
			}
		}
	}
}

// lookBackAtWords names what came up in the talk.
func (w *world) lookBackAtWords() {
	done := map[promises.Pair]tasks.Action{}
	any := map[promises.Pair]bool{}
	for _, j := range w.plan.words {
		w.saw("a restore was made of what a job had taken", j.restores != nil && len(j.Ends) > 0)
		for pair, end := range j.Ends {
			switch end.Outcome {
			case "restored":
				w.saw("a restore gave back what a removal had taken", any[pair] && done[pair] == tasks.Remove)
				w.saw("a management scope was given back", j.Scopes[pair] != nil)
			case "removed":
				w.saw("a removal took what a restore had given back", done[pair] == tasks.Add)
			default:
				continue
			}
			done[pair], any[pair] = j.Action, true
		}
	}
}

// giveBack submits a restore.
func (w *world) giveBack(p *process, j *job) error {
	client, err := enqueue.NewClient(enqueue.Config{Redis: p.rdb})
	if err != nil {
		return err
	}
	s := enqueue.Submission{JobID: j.ID, Removals: removalsOf(j), Priority: j.lane, Source: "fleet", MaxUsers: -1, At: j.due(), AwaitApproval: j.waits,
		Action: tasks.Add, Snapshot: &enqueue.Snapshot{SeenAt: epoch}}
	for _, pair := range j.sorted() {
		if of := j.Scopes[pair]; of != nil {
			s.Snapshot.Scopes = append(s.Snapshot.Scopes, enqueue.SnapshotScope{Pair: enqueue.SnapshotPair{UserID: pair.User, RoleID: pair.Role}, Departments: of})
		}
	}
	if j.restores != nil {
		done, err := w.giveBackOf(p, j, &s)
		if err != nil || done {
			return err
		}
	}
	_, err = client.Submit(p.alive, s)
	return err
}

// giveBackOf makes the submission of what a job took, as jobs restore does. done says that there is nothing to submit.
func (w *world) giveBackOf(p *process, j *job, s *enqueue.Submission) (done bool, err error) {
	l := ledger.New(p.rdb, 0)
	wish := restore.Wish{JobID: j.restores.ID, FromRemoved: true, EvenLater: j.evenLater, As: j.ID}
	if again, err := restore.Submitted(p.alive, l, wish); err != nil || again != nil {
		return true, err
	}
	plan, err := restore.Of(p.alive, l, wish)
	var nothing *restore.NothingError
	if errors.As(err, &nothing) {
		j.nothing = true
		return true, nil
	}
	if err != nil {
		return true, err
	}
	*s = plan.Submission(*s)
	return false, nil
}
