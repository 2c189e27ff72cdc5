package faults

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// kind is a kind of event.
type kind struct {
	of          string        // what it happens to; two of them do not overlap. Empty: they may
	least, most time.Duration // how long it lasts; zero for a moment
	begin       func(*world, event)
	end         func(*world, event) // nil where there is nothing to end
}

// kinds are all events that a history may have.
var kinds = map[string]kind{
	"worker killed": {least: 100 * time.Millisecond, most: 3 * time.Second, begin: func(w *world, e event) {
		w.disturbed(150 * time.Second) // what it was doing comes back when its lease has ended
		w.worker(e).kill(e.lasts)
	}},
	"worker stopped": {least: 100 * time.Millisecond, most: 3 * time.Second, begin: func(w *world, e event) {
		p := w.worker(e).stop(e.lasts)
		w.people.Go(func() { w.mustEnd(p) })
	}},
	"worker frozen": {of: "worker", least: 500 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 2*time.Second)
		w.worker(e).signal(syscall.SIGSTOP)
	}, end: func(w *world, e event) { w.worker(e).signal(syscall.SIGCONT) }},

	"disk full": {of: "disk", least: 500 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, _ event) {
		w.fillDisk()
	}, end: func(w *world, _ event) { w.clearDisk() }},

	"redis restarted": {of: "redis", least: 100 * time.Millisecond, most: 4 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.redis.Stop()
	}, end: func(w *world, _ event) { w.redis.Resume() }},
	"redis killed": {of: "redis", least: 100 * time.Millisecond, most: 2 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.redis.Kill()
	}, end: func(w *world, _ event) { w.redis.Resume() }},
	"redis frozen": {of: "redis", least: 300 * time.Millisecond, most: 8 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.redis.Freeze()
	}, end: func(w *world, _ event) { w.redis.Thaw() }},
	"redis out of memory": {of: "redis", least: 500 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.rdb.ConfigSet(w.ctx, "maxmemory", "1")
	}, end: func(w *world, _ event) { w.rdb.ConfigSet(w.ctx, "maxmemory", "0") }},
	"redis read-only": {of: "redis", least: 500 * time.Millisecond, most: 5 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.rdb.Do(w.ctx, "REPLICAOF", "127.0.0.1", "1")
	}, end: func(w *world, _ event) { w.rdb.Do(w.ctx, "REPLICAOF", "NO", "ONE") }},

	"connections cut": {begin: func(w *world, _ event) {
		w.disturbed(10 * time.Second)
		w.proxy.cut()
	}},
	"replies lost": {of: "network", least: 300 * time.Millisecond, most: 4 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.proxy.lose(0.3)
	}, end: func(w *world, _ event) { w.proxy.heal() }},
	"network stalled": {of: "network", least: 300 * time.Millisecond, most: 7 * time.Second, begin: func(w *world, e event) {
		w.disturbed(e.lasts + 10*time.Second)
		w.proxy.stall()
	}, end: func(w *world, _ event) { w.proxy.heal() }},

	"dingtalk busy":           dingTalk(simulator.FaultBusy),
	"dingtalk throttles":      dingTalk(simulator.FaultThrottled),
	"dingtalk behind a proxy": dingTalk(simulator.FaultOutage),
	"dingtalk unreachable":    dingTalk(simulator.FaultUnreachable),
	"permission missing":      dingTalk(simulator.FaultPermission),
	"address not allowed":     dingTalk(simulator.FaultIPNotAllowed),
	"app disabled":            dingTalk(simulator.FaultDisabled),
	"token refused":           dingTalk(simulator.FaultToken),
	"credentials refused":     dingTalk(simulator.FaultCredentials),
	"token revoked":           {begin: func(w *world, _ event) { w.sim.RevokeToken() }},

	"submitted twice":         {begin: submitTwice},
	"submitted otherwise":     {begin: submitOtherwise},
	"submission killed":       {begin: killSubmission},
	"bad input submitted":     {begin: submitBadInput},
	"job cancelled":           {begin: cancelJob},
	"dead letter run":         {begin: runLetter},
	"user mended and tried":   {begin: mendUser},
	"task deleted":            {begin: deleteTask},
	"task archived":           {begin: archiveTask},
	"job repaired for nought": {begin: repairJob},
}

func dingTalk(fault simulator.FaultKind) kind {
	return kind{of: "dingtalk", least: 300 * time.Millisecond, most: 5 * time.Second,
		begin: func(w *world, e event) { w.sim.Fail(fault, e.lasts) }}
}

func (w *world) worker(e event) *keeper { return w.workers[e.pick%uint64(len(w.workers))] }

// mustEnd checks that a worker that was asked to end does so in time and cleanly.
func (w *world) mustEnd(p *process) {
	if !p.endsWithin(shutdown) {
		w.Errorf("a worker did not end within %v of SIGTERM:\n%s", shutdown, lastLines(p.output(), 20))
	} else if p.err != nil && p.cmd.ProcessState.ExitCode() > 0 && strings.Contains(string(p.output()), "worker started") {
		w.Errorf("a worker ended with %v on SIGTERM:\n%s", p.err, lastLines(p.output(), 20))
	}
}

func submitTwice(w *world, e event) {
	w.whenSubmitted(e.pick, func(j *job) {
		w.command(w.redis.URL(), func(s said) bool { return s.code == 0 && strings.Contains(s.stderr, "submitted before") }, w.submission(j)...)
	})
}

func submitOtherwise(w *world, e event) {
	w.whenSubmitted(e.pick, func(j *job) {
		w.command(w.redis.URL(), func(s said) bool { return s.code == 5 },
			"enqueue", "--user", "somebody-else", "--role", "1", "--job-id", j.id, "--yes")
	})
}

// killSubmission runs the submission of a job beside the one that is under way, and kills it in the middle.
func killSubmission(w *world, e event) {
	j := w.plan.jobs[e.pick%uint64(len(w.plan.jobs))]
	if _, err := os.Stat(filepath.Join(w.dir, j.id+".csv")); err != nil {
		return
	}
	w.people.Go(func() {
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(e.pick%200)*time.Millisecond)
		defer cancel()
		if _, err := run(ctx, w.env(w.proxy.url()), w.submission(j)...); err != nil {
			w.Errorf("%v", err)
		}
	})
}

func submitBadInput(w *world, _ event) {
	file := filepath.Join(w.dir, "bad.csv")
	if err := os.WriteFile(file, []byte("user_id,role_id\nsomebody,1\nnobody,one\n"), 0o600); err != nil {
		w.Error(err)
		return
	}
	w.people.Go(func() {
		w.command(w.redis.URL(), func(s said) bool { return s.code == 2 && strings.Contains(s.stderr, "bad.csv:3") },
			"enqueue", file, "--job-id", "bad-input", "--yes")
	})
}

func cancelJob(w *world, e event) {
	w.whenSubmitted(e.pick, func(j *job) {
		finished := false
		if !w.command(w.redis.URL(), func(s said) bool {
			finished = s.code == 1 && strings.Contains(s.stderr, "already")
			return s.code == 0 || s.code == 7 || finished
		}, "jobs", "cancel", j.id, "--why", "history", "--yes") || finished {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cancelled[j.id].IsZero() {
			w.cancelled[j.id] = time.Now()
			w.note("%s is cancelled", j.id)
		}
	})
}

// runLetter is "Run" in asynq's web UI.
func runLetter(w *world, e event) {
	w.people.Go(func() {
		if info := w.someTask(tasks.QueueDeadLetter, e.pick, w.inspector.ListScheduledTasks); info != nil {
			w.note("dead letter %s is run: %v", info.ID, w.inspector.RunTask(tasks.QueueDeadLetter, info.ID))
		}
	})
}

// mendUser puts a user right at DingTalk and has every dead letter tried again.
func mendUser(w *world, e event) {
	w.people.Go(func() {
		for user := range w.plan.bad {
			w.mu.Lock()
			w.mended[user] = true
			w.mu.Unlock()
			w.sim.SetUser(simulator.Accepted, user)
			break
		}
		n, err := w.inspector.RunAllScheduledTasks(tasks.QueueDeadLetter)
		w.note("a user is mended, %d dead letters are run: %v", n, err)
	})
}

func deleteTask(w *world, e event) {
	w.people.Go(func() {
		queue := tasks.Lanes()[e.pick%3]
		if info := w.someTask(queue, e.pick, w.inspector.ListPendingTasks, w.inspector.ListRetryTasks, w.inspector.ListScheduledTasks); info != nil {
			w.note("task %s is deleted: %v", info.ID, w.inspector.DeleteTask(queue, info.ID))
		}
	})
}

func archiveTask(w *world, e event) {
	w.people.Go(func() {
		queue := tasks.Lanes()[e.pick%3]
		if info := w.someTask(queue, e.pick, w.inspector.ListPendingTasks, w.inspector.ListRetryTasks); info != nil {
			w.mu.Lock()
			w.tampered = true
			w.mu.Unlock()
			w.note("task %s is archived: %v", info.ID, w.inspector.ArchiveTask(queue, info.ID))
		}
	})
}

func repairJob(w *world, e event) {
	w.whenSubmitted(e.pick, func(j *job) { w.command(w.redis.URL(), succeededOrDeadLetters, "jobs", "repair", j.id) })
}

func succeededOrDeadLetters(s said) bool { return s.code == 0 || s.code == 3 }

// finished reports whether a job has ended, and its record.
func (w *world) finished(id string) (ledger.Job, bool) {
	j, err := w.ledger.Get(w.ctx, id)
	return j, err == nil && j.State.Finished()
}
