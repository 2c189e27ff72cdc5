package main

import (
	"context"
	"fmt"
	"time"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// story is the life of a company, in the simulator's directory and in the queue.
type story struct {
	app    *app
	engine *engine.Engine
	sim    *simulator.Simulator
	client *enqueue.Client
	status *statusReader
	hour   time.Duration

	// at is the hour of the scene, refused a user of today's faulty import.
	at      int
	refused string

	days, jobs, people int
}

// scene is what happens at an hour of the day.
type scene struct {
	hour int
	what func(*story, context.Context) error
}

// The day, from nine to six.
var day = []scene{
	{9, func(s *story, ctx context.Context) error { return s.leave(ctx, "people leave", 3) }},
	{10, (*story).layOff},
	{11, (*story).faultyImport},
	{12, func(s *story, ctx context.Context) error { return s.leave(ctx, "more people leave", 2) }},
	{13, (*story).busySpell},
	{14, (*story).lastDay},
	{15, (*story).lostPermission},
	{16, func(s *story, _ context.Context) error {
		s.say("the permission is back: the workers find out by themselves")
		return nil
	}},
	{17, (*story).rehire},
	{18, (*story).evening},
}

// play plays days until ctx ends.
func (s *story) play(ctx context.Context) error {
	for {
		s.days++
		for i, scene := range day {
			if i > 0 || s.days > 1 {
				if err := wait.For(ctx, s.hour); err != nil {
					return err
				}
			}
			s.at = scene.hour
			if err := scene.what(s, ctx); err != nil {
				return err
			}
		}
	}
}

func (s *story) say(format string, args ...any) {
	if s.app.output == outputJSON {
		return
	}
	fmt.Fprintf(s.app.stdout, "day %d, %02d:00  %s\n", s.days, s.at, fmt.Sprintf(format, args...))
}

// firstRole is the id of the demo's first role.
const firstRole = 1507113501

var roleNames = []string{"部门主管", "财务", "招聘", "采购", "考勤管理员", "法务"}

func (s *story) roles(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = firstRole + int64(i)
		s.sim.AddRole(ids[i], roleNames[i], "岗位")
	}
	return ids
}

// hire puts n new people with the roles into the directory.
func (s *story) hire(n int, roles []int64) []string {
	ids := make([]string, n)
	for i := range ids {
		s.people++
		ids[i] = fmt.Sprintf("user%05d", s.people)
		s.sim.AddUser(ids[i], nameOf(s.people))
		s.sim.Grant(ids[i], roles...)
	}
	return ids
}

var (
	surnames   = []rune("王李张刘陈杨赵黄周吴徐孙马朱胡郭")
	givenNames = []rune("芳伟敏静丽强磊军洋艳勇杰娟涛明超霞平刚")
)

// nameOf is what the nth of the company's people is called; as in life, some share their name.
func nameOf(n int) string {
	return string([]rune{surnames[n%len(surnames)], givenNames[n%len(givenNames)]})
}

func (s *story) submit(ctx context.Context, name, lane, reason string, at time.Time, users []string, roles []int64) (enqueue.Submitted, error) {
	removals, err := enqueue.FromLists(users, roles)
	if err != nil {
		return enqueue.Submitted{}, err
	}
	s.jobs++
	return s.client.Submit(ctx, enqueue.Submission{JobID: fmt.Sprintf("day%d-%s", s.days, name), Removals: removals, Source: "demo",
		Reason: reason, Priority: lane, At: at, SubmittedBy: "demo", MaxUsers: -1, Simulated: true})
}

// leave is single leavers, each a job of its own, as an HR system submits them.
func (s *story) leave(ctx context.Context, what string, n int) error {
	roles := s.roles(3)
	for _, user := range s.hire(n, roles) {
		if _, err := s.submit(ctx, "leaver-"+user, tasks.QueueUrgent, "left", time.Time{}, []string{user}, roles); err != nil {
			return err
		}
	}
	s.say("%s: %s", what, counted(n, "urgent job", "urgent jobs"))
	return nil
}

func (s *story) layOff(ctx context.Context) error {
	roles := s.roles(4)
	done, err := s.submit(ctx, "lay-off", tasks.QueueBulk, "department closed", time.Time{}, s.hire(1200, roles), roles)
	if err != nil {
		return err
	}
	s.say("a department closes: %s in %s (job %s)", counted(int(done.Job.Pairs.Total), "pair", "pairs"),
		counted(int(done.Job.PlannedCalls), "call", "calls"), done.Job.JobID)
	return nil
}

// faultyImport has people who left long ago and a role that never was.
func (s *story) faultyImport(ctx context.Context) error {
	roles := s.roles(3)
	users := s.hire(80, roles)
	s.refused = users[7]
	s.sim.SetUser(simulator.Gone, s.refused, users[41])
	s.sim.SetUser(simulator.OutOfScope, users[66])
	roles = append(roles, firstRole+900)
	done, err := s.submit(ctx, "import", tasks.QueueDefault, "monthly import", time.Time{}, users, roles)
	if err != nil {
		return err
	}
	s.say("an import has three bad users and a bad role: they become dead letters, the rest is removed (job %s)", done.Job.JobID)
	return nil
}

func (s *story) busySpell(ctx context.Context) error {
	s.sim.Fail(simulator.FaultBusy, s.hour*3/4)
	roles := s.roles(2)
	if _, err := s.submit(ctx, "transfers", tasks.QueueDefault, "moved to another team", time.Time{}, s.hire(300, roles), roles); err != nil {
		return err
	}
	s.say("DingTalk is busy for most of an hour: nothing is lost, nothing is spent, it is probed")
	return nil
}

// lastDay is a removal for the evening.
func (s *story) lastDay(ctx context.Context) error {
	roles := s.roles(3)
	at := time.Now().Add(4 * s.hour)
	done, err := s.submit(ctx, "last-day", tasks.QueueDefault, "last working day", at, s.hire(5, roles), roles)
	if err != nil {
		return err
	}
	s.say("five people have their last working day: scheduled for 18:00 (job %s)", done.Job.JobID)
	return nil
}

func (s *story) lostPermission(ctx context.Context) error {
	s.sim.Fail(simulator.FaultPermission, s.hour)
	roles := s.roles(2)
	if _, err := s.submit(ctx, "after-audit", tasks.QueueDefault, "audit", time.Time{}, s.hire(150, roles), roles); err != nil {
		return err
	}
	s.say("somebody takes the app's permission away: the fleet holds, unrole status says why")
	return nil
}

// rehire makes one refused user good again, so that "Run" on the dead letter succeeds.
func (s *story) rehire(context.Context) error {
	s.sim.SetUser(simulator.Accepted, s.refused)
	s.say("%s is back in the directory: Run on that dead letter in the web UI removes the roles now", s.refused)
	return nil
}

// evening shows where the day ended.
func (s *story) evening(ctx context.Context) error {
	status, err := s.status.read(ctx)
	if err != nil {
		return err
	}
	s.say("the day is over: %s in the queues, %s waiting for somebody",
		counted(status.Backlog, "part is", "parts are"), counted(status.DeadLetters, "dead letter", "dead letters"))
	return nil
}
