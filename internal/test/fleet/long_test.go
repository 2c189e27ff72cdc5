package fleet

import (
	"errors"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/promises"
	"github.com/unrole/unrole/tasks"
)

var long = flag.Bool("long", false, "play the histories that last for days, too")

// lastsLong skips a history that takes a minute where nobody asked for it.
func lastsLong(t *testing.T) {
	if !*long {
		t.Skip("-long plays it")
	}
}

// quietPlan has the given jobs of one user and one role each, and no fault.
func quietPlan(jobs ...*job) plan {
	p := plan{seed: 1, active: active, workers: 1, qps: 20, pace: time.Millisecond, dingtalk: simulator.Options{Seed: 1, Latency: 20 * time.Millisecond}}
	for i, j := range jobs {
		j.ID, j.lane, j.Discarded = fmt.Sprint("job-", i), tasks.QueueDefault, map[promises.Pair]bool{}
		j.Pairs = map[promises.Pair]bool{{User: fmt.Sprintf("employee%03d", i), Role: 1507113500}: true}
		p.jobs = append(p.jobs, j)
	}
	return p
}

// slow has workers look for tasks seldom, so that a day is played in seconds.
func slow(c *config.Config) { c.CheckInterval = time.Minute }

// begin starts the intake and the workers.
func (w *world) begin() {
	w.startIntake()
	for i := range w.plan.workers {
		w.workers = append(w.workers, w.keepWorker(i))
	}
}

// ended waits until a job has ended, and returns its record.
func (w *world) ended(id string, within time.Duration) ledger.Job {
	began := time.Now()
	for {
		job, err := w.ledger.Get(w.ctx, id)
		if err == nil && job.State.Finished() {
			return job
		}
		if time.Since(began) > within {
			w.broken("%s did not end within %v: %+v %v", id, within, job, err)
			return job
		}
		time.Sleep(time.Second)
	}
}

const week = 7 * 24 * time.Hour

func TestARemovalInSixWeeksOutlivesThatEverythingIsSwitchedOffMeanwhile(t *testing.T) {
	lastsLong(t)
	p := quietPlan(&job{starts: 6 * week}, &job{})
	stage(t, p, nil, func(w *world) {
		w.begin()
		w.submit(p.jobs[0])
		w.submit(p.jobs[1])
		w.ended("job-1", time.Minute)
		w.workers[0].kill(6*week + time.Hour)
		w.intake.die()
		time.Sleep(6*week + 2*time.Hour)
		job := w.ended("job-0", 2*time.Minute)
		if job.State != ledger.StateCompleted || w.sim.Taken("employee000", 1507113500) != 1 {
			w.broken("nothing lost: %+v", job)
		}
		if calls := w.sim.Calls(); calls[len(calls)-1].Arrived.Before(p.jobs[0].due()) {
			w.broken("only what was asked: it was called before its time")
		}
		// The other one is older than the retention of finished records, 30 days.
		var unknown *ledger.NotFoundError
		if _, err := w.ledger.Get(w.ctx, "job-1"); !errors.As(err, &unknown) {
			w.broken("the record of a finished job outlives its retention: %v", err)
		}
	})
}

func TestATokenThatRunsOutInTheNightIsNoTrouble(t *testing.T) {
	lastsLong(t)
	p := quietPlan(&job{}, &job{})
	p.tune = slow
	stage(t, p, nil, func(w *world) {
		w.begin()
		w.submit(p.jobs[0])
		w.ended("job-0", 5*time.Minute)
		time.Sleep(3 * time.Hour)
		w.submit(p.jobs[1])
		if job := w.ended("job-1", 5*time.Minute); job.State != ledger.StateCompleted {
			w.broken("nothing lost: %+v", job)
		}
	})
}

func TestABatchThatIsBusyForADayIsGivenUp(t *testing.T) {
	lastsLong(t)
	p := singles(1)
	p.dingtalk.UserCodes = map[string]int{"employee000": -1}
	tune := p.tune
	p.tune = func(c *config.Config) {
		tune(c)
		c.RetryCap, c.BusyMaxAge = 30*time.Minute, 24*time.Hour
	}
	stage(t, p, nil, func(w *world) {
		w.begin()
		w.submit(p.jobs[0])
		job := w.ended("job-0", 30*time.Hour)
		if job.State != ledger.StateCompletedWithDeadLetter {
			w.broken("nothing lost: %+v", job)
		}
		if took := job.FinishedAt.Sub(job.CreatedAt); took < 24*time.Hour {
			w.broken("it was given up after %v", took)
		}
	})
}

func TestAReceiverThatIsDownForMostOfADayIsToldOnce(t *testing.T) {
	lastsLong(t)
	p := quietPlan(&job{})
	p.tune = slow
	stage(t, p, nil, func(w *world) {
		w.deaf = true
		w.begin()
		w.submit(p.jobs[0])
		w.ended("job-0", 5*time.Minute)
		w.workers[0].stop(50 * time.Hour) // the intake is left, and tells
		time.Sleep(20 * time.Hour)
		w.mu.Lock()
		w.deaf = false
		w.mu.Unlock()
		time.Sleep(5 * time.Hour)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, times := range w.told {
			if times == 1 && len(w.told) == 1 {
				return
			}
		}
		w.t.Errorf("the receiver was told: %v", w.told)
	})
}

// asynq takes no word of a task whose lease is over: it counts the lease from when it asked for a task, and an idle worker asks for
// as long as there is none.
func TestATaskThatComesAfterAnIdleMinuteIsFinishedAtOnce(t *testing.T) {
	p := quietPlan(&job{}, &job{})
	stage(t, p, nil, func(w *world) {
		w.begin()
		for _, j := range p.jobs {
			w.submit(j)
			w.ended(j.ID, 10*time.Second)
			time.Sleep(500 * time.Millisecond)
			if info, err := w.inspector.GetQueueInfo(tasks.QueueDefault); err != nil || info.Active != 0 {
				w.broken("back within seconds: %s is over, and asynq has %d of its tasks active (%v)", j.ID, info.Active, err)
			}
			time.Sleep(time.Minute)
		}
	})
}

// singles is a plan of so many removals of one pair each, for a worker that tells nobody of their ends.
func singles(n int) plan {
	var jobs []*job
	for range n {
		jobs = append(jobs, &job{})
	}
	p := quietPlan(jobs...)
	p.tune = func(c *config.Config) {
		slow(c)
		c.WebhookURL = ""
	}
	return p
}

// An idle fleet asks Redis some twenty things a second, so that a whole week of it is played for a quarter of an hour: here, a
// worker is there for a minute of each hour, as where it is started when something comes.
func TestAWeekOfSingleRemovalsIsOneCallEachAndLeavesNothing(t *testing.T) {
	lastsLong(t)
	p := singles(7 * 24)
	stage(t, p, nil, func(w *world) {
		w.begin()
		for i, j := range p.jobs {
			time.Sleep(time.Until(w.began.Add(time.Duration(i) * time.Hour)))
			w.submit(j)
			w.ended(j.ID, 5*time.Minute)
			if i < len(p.jobs)-1 {
				w.workers[0].stop(59 * time.Minute)
			}
		}
		w.onePerJob()
	})
}

func TestAFleetThatRunsForMoreThanADayHasOneCallForEachRemovalAndLeavesNothing(t *testing.T) {
	lastsLong(t)
	p := singles(30)
	stage(t, p, nil, func(w *world) {
		w.begin()
		for i, j := range p.jobs {
			time.Sleep(time.Until(w.began.Add(time.Duration(i) * time.Hour)))
			w.submit(j)
			w.ended(j.ID, 5*time.Minute)
		}
		w.onePerJob()
	})
}

// onePerJob checks a history of single removals: a call each, and asynq keeps the tasks of the last day alone.
func (w *world) onePerJob() {
	time.Sleep(time.Minute)
	jobs, _ := w.jobsLeft()
	if left := append(jobs, w.tasksLeft()...); len(left) > 0 {
		w.broken("back within seconds: %v", left)
	}
	if n := len(w.sim.Calls()); n != len(w.plan.jobs) {
		w.broken("%d removals an hour apart took %d calls", len(w.plan.jobs), n)
	}
	info, err := w.inspector.GetQueueInfo(tasks.QueueDefault)
	if err != nil || info.Completed > 25 {
		w.broken("asynq keeps %+v (%v)", info, err)
	}
	w.check()
}
