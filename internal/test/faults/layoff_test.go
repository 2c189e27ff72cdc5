package faults

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
)

var layoff = flag.Bool("layoff", false, "undo a lay-off of 2,000 people on the wrong list while everything is killed in turn")

// holding is what one person has by one role: whether it is held, and over which departments.
type holding struct {
	user string
	role int64
}

// directory reads who holds what, scopes included.
func (w *world) directory(of []holding) map[holding]string {
	all := make(map[holding]string, len(of))
	for _, h := range of {
		if w.sim.Holds(h.user, h.role) {
			all[h] = fmt.Sprint("held over ", w.sim.Scope(h.user, h.role))
		}
	}
	return all
}

// The simulator is in the process of this test and is the one thing that is not killed: a DingTalk does not forget.
func TestALayoffOnTheWrongListIsUndoneByOneCommandWhateverIsKilled(t *testing.T) {
	if !*layoff {
		t.Skip("-layoff plays it")
	}
	const people, roles = 2000, 3
	w := newWorld(t, plan{seed: 1, workers: 2, qps: 20, lasts: 10 * time.Minute, redis: []string{"--appendfsync", "always"}, dingtalk: simulator.Options{Latency: 30 * time.Millisecond, Jitter: 60 * time.Millisecond}})
	w.began = time.Now()
	for id := range int64(4) {
		w.sim.AddDepartment(simulator.Department{ID: 1 + id, Parent: min(id, 1), Name: fmt.Sprint("department ", id)})
	}
	var of []holding
	rows := []string{"user_id,role_id"}
	for u := range people {
		for r := range roles {
			h := holding{fmt.Sprintf("employee%04d", u), 1507113578 + int64(r)}
			of = append(of, h)
			rows = append(rows, fmt.Sprintf("%s,%d", h.user, h.role))
			if (u+r)%17 == 0 {
				continue // on the list, and never held
			}
			w.sim.Grant(h.user, h.role)
			if (u+r)%41 == 0 {
				w.sim.SetScope(h.user, h.role, 2, 3)
			}
		}
	}
	before := w.directory(of)
	list := filepath.Join(w.dir, "wrong.csv")
	if err := os.WriteFile(list, []byte(strings.Join(rows, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		w.workers = append(w.workers, w.keepWorker())
	}
	if !w.command(w.redis.URL(), succeeded, "enqueue", list, "--job-id", "layoff", "--preflight", "--yes") {
		return
	}
	if job := w.jobEnds("layoff"); job.Pairs.Removed != int64(len(before)) || job.Snapshot == nil || len(w.directory(of)) != 0 {
		t.Fatalf("the lay-off: %+v; %d pairs are left of %d", job, len(w.directory(of)), len(before))
	}
	w.note("2,000 people have lost %d roles", len(before))

	address := "127.0.0.1:" + redistest.Port(t)
	intake := w.keep("api", "UNROLE_API_LISTEN="+address)
	w.workers = append(w.workers, intake) // to be ended with them
	ended, others := make(chan struct{}), make(chan int, 1)
	w.people.Go(func() { w.killInTurn(w.workers[:2], intake, ended) })
	w.people.Go(func() { others <- w.takeFromOthers("http://"+address, ended) })
	restore := []string{"jobs", "restore", "layoff", "--job-id", "undo", "--yes", "--why", "wrong list"}
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 5 { // killed while it works, and said again
		ctx, cancel := context.WithTimeout(w.ctx, time.Duration(20+rng.IntN(400))*time.Millisecond)
		s, err := run(ctx, w.env(w.redis.URL()), restore...)
		cancel()
		if err != nil {
			t.Error(err)
		}
		w.note("the command ends with %d, try %d", s.code, i+1)
	}
	if w.command(w.redis.URL(), succeeded, restore...) {
		job := w.jobEnds("undo")
		if job.Pairs.Restored != int64(len(before)) {
			t.Errorf("%+v, %d pairs were taken", job.Pairs, len(before))
		}
		w.note("undone: %d pairs in %d calls, %d planned", job.Pairs.Restored, job.APICalls, job.PlannedCalls)
	}
	close(ended)
	for i := range <-others {
		if job := w.jobEnds(fmt.Sprint("other-", i)); job.Pairs.Removed != 1 || job.State != ledger.StateCompleted {
			t.Errorf("what the intake took meanwhile: %+v", job)
		}
	}
	after := w.directory(of)
	for _, h := range of {
		if before[h] != after[h] {
			t.Errorf("%v: %q before, %q now", h, before[h], after[h])
		}
	}
	if n := w.sim.Stats().Violations; n != 0 {
		t.Errorf("%d calls broke DingTalk's limits", n)
	}
}

// jobEnds waits for the end of a job.
func (w *world) jobEnds(id string) ledger.Job {
	for {
		job, err := w.ledger.Get(w.ctx, id)
		if err == nil && job.State.Finished() || !w.wait(200*time.Millisecond) {
			return job
		}
	}
}

// takeFromOthers has an HR system post removals of other people, one after the other, each until it is answered that it was
// taken, and returns how many there were.
func (w *world) takeFromOthers(intake string, ended <-chan struct{}) (taken int) {
	client := &http.Client{Timeout: 10 * time.Second}
	refused := 0
	defer func() { w.note("the intake took %d removals meanwhile; %d posts failed", taken, refused) }()
	for {
		user := fmt.Sprint("other", taken)
		w.sim.Grant(user, 1507113578)
		body := fmt.Sprintf(`{"job_id":"other-%d","source":"hr","reason":"left","removals":[{"user_ids":["%s"],"role_ids":[1507113578]}]}`, taken, user)
		for {
			answer, err := client.Post(intake+"/v1/removals", "application/json", strings.NewReader(body))
			if err == nil {
				said, _ := io.ReadAll(answer.Body)
				answer.Body.Close()
				if answer.StatusCode/100 == 2 {
					break
				}
				if answer.StatusCode/100 == 4 {
					w.Errorf("%s is answered %s: %s", body, answer.Status, said)
					return taken
				}
			}
			refused++
			if !w.wait(200 * time.Millisecond) {
				return taken
			}
		}
		taken++
		select {
		case <-ended:
			return taken
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// killInTurn kills the worker that leads, the one that stands by, the intake, Redis, and all of them, in turn, until the
// restore has ended.
func (w *world) killInTurn(workers []*keeper, intake *keeper, ended <-chan struct{}) {
	leader := func() *keeper {
		value, _ := w.rdb.Get(w.ctx, "unrole:{lead}").Result()
		for _, k := range workers {
			k.mu.Lock()
			pid := k.current.cmd.Process.Pid
			k.mu.Unlock()
			if strings.Contains(value, fmt.Sprint(pid)) {
				return k
			}
		}
		return workers[0]
	}
	for turn := 0; ; turn++ {
		select {
		case <-ended:
			return
		case <-time.After(1500 * time.Millisecond):
		}
		switch turn % 5 {
		case 0:
			w.note("the worker that leads is killed")
			leader().kill(300 * time.Millisecond)
		case 1:
			w.note("the worker that stands by is killed")
			for _, k := range workers {
				if k != leader() {
					k.kill(300 * time.Millisecond)
				}
			}
		case 2:
			w.note("redis is killed")
			w.redis.Kill()
			w.wait(300 * time.Millisecond)
			w.redis.Resume()
		case 3:
			w.note("the intake is killed")
			intake.kill(300 * time.Millisecond)
		default:
			w.note("both workers, the intake and redis are killed")
			for _, k := range append([]*keeper{intake}, workers...) {
				k.kill(500 * time.Millisecond)
			}
			w.redis.Kill()
			w.redis.Resume()
		}
	}
}
