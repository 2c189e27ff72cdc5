package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

// check looks at the end of a history from outside: what the simulator was called for, what the command reports, what
// waits in the queue of the dead letters, and what everybody has written down.
func (w *world) check() {
	calls := w.sim.Calls()
	w.tell(calls)
	letters, err := promises.Letters(w.inspector)
	if err != nil {
		w.Error(err)
	}
	h := &promises.History{Sim: w.sim.Simulator, Calls: calls, Letters: letters, Protected: w.plan.protected, Bad: w.plan.bad, BadRole: w.plan.badRole,
		Mended: w.mended, Archived: w.tampered, QPS: w.plan.qps, Extra: 2, Latency: w.plan.dingtalk.Latency + w.plan.dingtalk.Jitter,
		InFlight: time.Second, Disturbed: w.disturbedAt, Unclear: w.unclear(calls)}
	for _, j := range w.plan.jobs {
		record, err := w.ledger.Get(w.ctx, j.id)
		if err != nil {
			w.Errorf("%s: %v", j.id, err)
		}
		if j.named && record.Pairs.Total == 0 && !w.cancelled[j.id].IsZero() {
			clear(j.pairs) // it was cancelled before anybody looked up what it means
		}
		h.Jobs = append(h.Jobs, &promises.Job{ID: j.id, Pairs: j.pairs, Cancelled: w.cancelled[j.id], Counts: record.Pairs, Ends: w.endsOf(j)})
	}
	h.Check(w.Errorf)
	worst, _ := h.Densest(calls)
	w.Logf("%d calls, at most %d within a second that counts, %d allowed; the machine was late %d times", len(calls), worst, w.plan.qps, len(w.stalls))
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

// endsOf is the report of a job as the command gives it.
func (w *world) endsOf(j *job) map[promises.Pair]promises.End {
	s, err := run(w.ctx, w.env(w.redis.URL()), "jobs", "report", j.id, "--output", "json")
	if err != nil || s.code != 0 {
		w.Errorf("report of %s: %v %v", j.id, err, s)
		return nil
	}
	ends := map[promises.Pair]promises.End{}
	dec := json.NewDecoder(strings.NewReader(s.stdout))
	for dec.More() {
		var row report.Row
		if err := dec.Decode(&row); err != nil {
			w.Errorf("report of %s: %v", j.id, err)
			return ends
		}
		p := promises.Pair{User: row.UserID, Role: row.RoleID}
		if _, twice := ends[p]; twice {
			w.Errorf("counted once: %s: %v is reported twice", j.id, p)
		}
		ends[p] = promises.End{Outcome: row.Outcome, Reason: tasks.Reason(row.Reason), Says: fmt.Sprint(row.ErrCode, " ", row.ErrMsg)}
	}
	return ends
}

// unclear: seconds do not count for the pace in which the machine itself was late, or in which a worker fetched a token:
// calls that have their slot wait for it and then go out together (docs/reliability.md, what is not promised).
func (w *world) unclear(calls []simulator.Call) func(from, to time.Time) bool {
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
	return func(from, to time.Time) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.stalls, func(s window) bool { return s.from.Before(to) && from.Before(s.to.Add(200*time.Millisecond)) }) ||
			slices.ContainsFunc(fetches, func(t time.Time) bool { return t.Before(to) && from.Before(t.Add(2*time.Second)) })
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
