package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// check looks at the end of a history from outside: what the simulator was called for, what the command reports, what
// waits in the queue of the dead letters, and what everybody has written down.
func (w *world) check() {
	calls := w.sim.Calls()
	rows := map[string]map[pair]report.Row{}
	for _, j := range w.plan.jobs {
		rows[j.id] = w.rowsOf(j)
	}
	w.tell(calls)
	w.onlyWhatWasAsked(calls)
	w.nothingCalledOnceCancelled(calls, rows)
	letters := w.letters()
	for _, j := range w.plan.jobs {
		w.countsAddUp(j, rows[j.id])
		for p := range j.pairs {
			w.rightEnd(j, p, rows[j.id][p], letters)
		}
	}
	if n := w.sim.Stats().Violations; n != 0 {
		w.Errorf("limits: %d calls broke DingTalk's", n)
	}
	w.paceHeld(calls)
	w.nobodyCallsWhilePaused(calls)
	w.noSecretWritten()
	w.nobodyCrashed()
	w.allIsRecorded()
	if keys, err := w.rdb.Exists(context.Background(), "unrole:job:{bad-input}").Result(); err != nil || keys != 0 {
		w.Errorf("bad input is refused whole: a job was made of it (%v)", err)
	}
}

// allIsRecorded compares the audit file with the trails: whatever happened to the disk and to whoever wrote, the file has
// every entry of every job and no other. A writer that was killed keeps its place for 15 s, in which the others may have
// ended; then the next worker brings the file up to date.
func (w *world) allIsRecorded() {
	inTrails := map[entry]bool{}
	for _, j := range w.plan.jobs {
		err := w.ledger.Trail(w.ctx, j.id, "", func(e ledger.TrailEntry) error {
			inTrails[entry{j.id, e.ID}] = true
			return nil
		})
		if err != nil {
			w.Error(err)
		}
	}
	inFile := w.recorded()
	if len(inFile) < len(inTrails) {
		w.note("the audit file lacks %d of %d entries: another worker begins", len(inTrails)-len(inFile), len(inTrails))
		next, began := w.keepWorker(), time.Now()
		w.workers = append(w.workers, next)
		for len(inFile) < len(inTrails) && time.Since(began) < 30*time.Second && w.wait(100*time.Millisecond) {
			inFile = w.recorded()
		}
		w.mustEnd(next.retire())
	}
	if !maps.Equal(inFile, inTrails) {
		w.Errorf("recorded: the audit file has %d entries, the trails %d", len(inFile), len(inTrails))
	}
}

// entry is one of an audit trail.
type entry struct {
	Job string `json:"job_id"`
	Seq string `json:"seq"`
}

// recorded is what the audit file has.
func (w *world) recorded() map[entry]bool {
	text, err := os.ReadFile(w.auditFile())
	if err != nil {
		w.Errorf("audit file: %v", err)
	}
	all := map[entry]bool{}
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // being written
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			w.Errorf("audit file: %q: %v", line, err)
		}
		all[e] = true
	}
	return all
}

// tell writes what the simulator answered, five seconds a line.
func (w *world) tell(calls []simulator.Call) {
	const slice = 5 * time.Second
	counts := map[int]map[string]int{}
	last := 0
	for _, c := range calls {
		last = int(c.Arrived.Sub(w.began) / slice)
		if counts[last] == nil {
			counts[last] = map[string]int{}
		}
		counts[last][c.Code]++
	}
	for i := range last + 1 {
		if len(counts[i]) > 0 {
			w.Logf("%5.1fs calls by answer: %v", (time.Duration(i) * slice).Seconds(), counts[i])
		}
	}
}

// rowsOf is the report of a job as the command gives it.
func (w *world) rowsOf(j *job) map[pair]report.Row {
	s, err := run(w.ctx, w.env(w.redis.URL()), "jobs", "report", j.id, "--output", "json")
	if err != nil || s.code != 0 {
		w.Errorf("report of %s: %v %v", j.id, err, s)
		return nil
	}
	rows := map[pair]report.Row{}
	dec := json.NewDecoder(strings.NewReader(s.stdout))
	for dec.More() {
		var row report.Row
		if err := dec.Decode(&row); err != nil {
			w.Errorf("report of %s: %v", j.id, err)
			return rows
		}
		p := pair{row.UserID, row.RoleID}
		if _, twice := rows[p]; twice {
			w.Errorf("%s: %v is reported twice", j.id, p)
		}
		if !j.pairs[p] {
			w.Errorf("%s: %v is reported and was never asked for", j.id, p)
		}
		rows[p] = row
	}
	return rows
}

func (w *world) onlyWhatWasAsked(calls []simulator.Call) {
	asked := map[pair]bool{}
	for _, j := range w.plan.jobs {
		for p := range j.pairs {
			asked[p] = true
		}
	}
	for _, c := range calls {
		for _, user := range c.Users {
			for _, role := range c.Roles {
				if p := (pair{user, role}); !asked[p] || user == w.plan.protected {
					w.Errorf("only what was asked: call %d covers %v, which nobody may have called", c.Number, p)
					return
				}
			}
		}
	}
}

// nothingCalledOnceCancelled: a pair that every job that asked for it counts as cancelled is in no call after the last
// of the cancels, but for calls that were on their way.
func (w *world) nothingCalledOnceCancelled(calls []simulator.Call, rows map[string]map[pair]report.Row) {
	since := map[pair]time.Time{}
	for _, j := range w.plan.jobs {
		for p := range j.pairs {
			at := w.cancelled[j.id]
			if rows[j.id][p].Outcome != "cancelled" || at.IsZero() {
				at = time.Now()
			}
			if at.After(since[p]) {
				since[p] = at
			}
		}
	}
	for _, c := range calls {
		for _, user := range c.Users {
			for _, role := range c.Roles {
				p := pair{user, role}
				if late := c.Arrived.Sub(since[p]); late > time.Second && !w.disturbedAt(since[p], c.Arrived) {
					w.Errorf("only what was asked: call %d covers %v, cancelled %v before", c.Number, p, late)
					return
				}
			}
		}
	}
	// A call that took effect and whose answer arrived is not reported as cancelled by every job that it can have served.
	answered := map[pair]uint64{}
	for _, c := range calls {
		if c.Code == "0" && !c.Lost && !w.disturbedAt(c.Arrived.Add(-2*time.Second), c.Arrived.Add(2*time.Second)) {
			for _, user := range c.Users {
				for _, role := range c.Roles {
					answered[pair{user, role}] = c.Number
				}
			}
		}
	}
	for p, number := range answered {
		owned := false
		for _, j := range w.plan.jobs {
			if row, asked := rows[j.id][p]; asked && row.Outcome != "cancelled" {
				owned = true
			}
		}
		if !owned {
			w.Errorf("nothing lost: call %d removed %v, and every job calls it cancelled", number, p)
		}
	}
}

func (w *world) countsAddUp(j *job, rows map[pair]report.Row) {
	count := map[string]int64{}
	for _, row := range rows {
		count[row.Outcome]++
	}
	job, err := w.ledger.Get(w.ctx, j.id)
	if err != nil {
		w.Errorf("%s: %v", j.id, err)
		return
	}
	c := job.Pairs
	if c.Total != int64(len(j.pairs)) || c.Removed != count["removed"] || c.Dead != count["dead_letter"] || c.Cancelled != count["cancelled"] || c.Pending != 0 {
		w.Errorf("counted once: %s of %d pairs says %+v, its report %v", j.id, len(j.pairs), c, count)
	}
}

// rightEnd checks what became of one pair.
func (w *world) rightEnd(j *job, p pair, row report.Row, letters map[string]map[pair]bool) {
	cancelled := !w.cancelled[j.id].IsZero()
	fail := func(promise string) {
		w.Errorf("%s: %s: %v is %s (%s %d %s)", promise, j.id, p, row.Outcome, row.Reason, row.ErrCode, row.ErrMsg)
	}
	why, badUser := w.plan.bad[p.user]
	mended := w.mended[p.user]
	switch row.Outcome {
	case "removed":
		if w.sim.Holds(p.user, p.role) || w.sim.Taken(p.user, p.role) == 0 {
			fail("nothing lost: DingTalk has never removed it")
		}
		if badUser && !mended || p.role == w.plan.badRole || p.user == w.plan.protected {
			fail("a bad id cannot be removed")
		}
	case "cancelled":
		if !cancelled {
			fail("nobody cancelled it")
		}
	case "dead_letter":
		if !letters[j.id][p] {
			fail("nothing lost: no dead letter waits for it")
		}
		reason := tasks.Reason(row.Reason)
		switch {
		case p.user == w.plan.protected && reason == tasks.ReasonProtected:
		case badUser && reason == why:
		case len(w.mended) > 0 && w.reasonOfMended(reason):
			// A user who was put right in the middle of a search; see docs/reliability.md, what is not promised.
			w.Logf("%s: %v took the blame of a user who was mended meanwhile", j.id, p)
		case p.role == w.plan.badRole && reason == tasks.ReasonSystemRole:
		case reason == tasks.ReasonCrashed && w.tampered:
		default:
			fail("the innocent unharmed")
		}
	default:
		fail("nothing lost")
	}
}

// reasonOfMended reports whether a user was refused for that reason before somebody mended them.
func (w *world) reasonOfMended(reason tasks.Reason) bool {
	for user := range w.mended {
		if w.plan.bad[user] == reason {
			return true
		}
	}
	return false
}

// letters are the pairs that dead letters wait for, by job.
func (w *world) letters() map[string]map[pair]bool {
	all := map[string]map[pair]bool{}
	ids, err := w.rdb.ZRange(w.ctx, "asynq:{"+tasks.QueueDeadLetter+"}:scheduled", 0, -1).Result()
	if err != nil {
		w.Error(err)
	}
	for _, id := range ids {
		info, err := w.inspector.GetTaskInfo(tasks.QueueDeadLetter, id)
		if err != nil {
			w.Errorf("dead letter %s: %v", id, err)
			continue
		}
		letter, err := tasks.Decode(info.Payload)
		if err != nil {
			w.Errorf("dead letter %s: %v", id, err)
			continue
		}
		if all[letter.JobID] == nil {
			all[letter.JobID] = map[pair]bool{}
		}
		for user, role := range letter.EachOwned() {
			all[letter.JobID][pair{user, role}] = true
		}
	}
	return all
}

// paceHeld counts the calls in every second that begins with one. Two more than allowed are granted to the way from
// the worker to the simulator, which takes its time on a busy machine. Seconds do not count in which the machine itself was
// late, or in which a worker fetched a token: calls that have their slot wait for it and then go out together
// (docs/reliability.md, what is not promised).
func (w *world) paceHeld(calls []simulator.Call) {
	var fetches []time.Time
	for _, k := range w.workers {
		for _, p := range k.all {
			fetches = append(fetches, p.began)
		}
	}
	for _, c := range calls {
		if c.Code == "42001" || c.Code == "40014" {
			fetches = append(fetches, c.Arrived)
		}
	}
	unclear := func(from, to time.Time) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.stalls, func(s window) bool { return s.from.Before(to) && from.Before(s.to.Add(200*time.Millisecond)) }) || slices.ContainsFunc(fetches, func(t time.Time) bool {
			return t.Before(to) && from.Before(t.Add(2*time.Second))
		})
	}
	first := 0
	worst, at := 0, time.Time{}
	for i := range calls {
		for calls[i].Arrived.Sub(calls[first].Arrived) >= time.Second {
			first++
		}
		if n := i - first + 1; n > worst && !unclear(calls[first].Arrived, calls[i].Arrived) {
			worst, at = n, calls[first].Arrived
		}
	}
	w.Logf("%d calls, at most %d within a second that counts, %d allowed; the machine was late %d times", len(calls), worst, w.plan.qps, len(w.stalls))
	if worst > w.plan.qps+2 {
		w.Errorf("pace: %d calls arrived within the second from %.1fs, %d are allowed", worst, at.Sub(w.began).Seconds(), w.plan.qps)
	}
}

// nobodyCallsWhilePaused: the pause after a global throttle lasts a second at least.
func (w *world) nobodyCallsWhilePaused(calls []simulator.Call) {
	for i, c := range calls {
		if c.Code != "90002" {
			continue
		}
		// The answer takes its time, and what was on its way then still comes.
		from, to := c.Arrived.Add(w.plan.dingtalk.Latency+w.plan.dingtalk.Jitter+300*time.Millisecond), c.Arrived.Add(950*time.Millisecond)
		if w.disturbedAt(c.Arrived.Add(-time.Second), to) {
			continue
		}
		for _, later := range calls[i+1:] {
			if later.Arrived.After(from) && later.Arrived.Before(to) {
				w.Errorf("pace: call %d came %v after call %d was throttled", later.Number, later.Arrived.Sub(c.Arrived), c.Number)
				return
			}
		}
	}
}

func (w *world) disturbedAt(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faulty {
		if f.from.Before(to) && from.Before(f.to) {
			return true
		}
	}
	return false
}

// noSecretWritten looks for the app secret and the last token in all that Redis, workers and commands wrote.
func (w *world) noSecretWritten() {
	secrets := []string{w.sim.AppSecret}
	if token := w.sim.Token(); token != "" {
		secrets = append(secrets, token)
	}
	look := func(where string, text []byte) {
		for _, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				w.Errorf("no secret: %s holds %.6s…", where, s)
			}
		}
	}
	w.mu.Lock()
	look("what commands said", []byte(w.transcript.String()))
	w.mu.Unlock()
	for _, dir := range []string{w.dir, w.redis.AppendOnlyDir()} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			look(filepath.Base(path), text)
			return err
		})
		if err != nil {
			w.Error(err)
		}
	}
}

func (w *world) nobodyCrashed() {
	for _, k := range w.workers {
		for _, p := range k.all {
			said := string(p.output())
			for _, word := range []string{"panic", "DATA RACE", "fatal error:"} {
				if i := strings.Index(said, word); i >= 0 {
					w.Errorf("a worker crashed: %s", said[max(0, i-200):min(len(said), i+3000)])
				}
			}
		}
	}
}
