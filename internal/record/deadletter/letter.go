// Package deadletter reads the dead-letter queue and does with its letters what an operator decides: try them again, or
// give them up.
package deadletter

import (
	"time"

	"github.com/hibiken/asynq"

	"github.com/unrole/unrole/tasks"
)

// State says what a letter is doing.
type State string

const (
	// Waiting: it stays until somebody acts.
	Waiting State = "waiting"
	// Due: it was made due and waits for a worker.
	Due State = "due"
	// Running: a worker has it.
	Running State = "running"
	// Retrying: a worker has put it back for a moment, because DingTalk was busy or the worker stopped.
	Retrying State = "retrying"
	// Archived: asynq gave it up; a worker puts it back among the waiting ones within a minute.
	Archived State = "archived"
)

var states = map[asynq.TaskState]State{asynq.TaskStateScheduled: Waiting, asynq.TaskStatePending: Due,
	asynq.TaskStateActive: Running, asynq.TaskStateRetry: Retrying, asynq.TaskStateArchived: Archived}

// Letter is a dead letter: some roles × some users of one job that DingTalk refuses for good. Its JSON form is part of
// unrole's contract.
type Letter struct {
	// ID is the asynq task id.
	ID    string `json:"id"`
	JobID string `json:"job_id"`
	Part  string `json:"part"`
	// RoleIDs and UserIDs are empty, and never null, where the payload could not be read.
	RoleIDs   []int64      `json:"role_ids"`
	UserIDs   []string     `json:"user_ids"`
	Reason    tasks.Reason `json:"reason"`
	ErrCode   int          `json:"errcode"`
	SubCode   string       `json:"sub_code"`
	ErrMsg    string       `json:"errmsg"`
	RequestID string       `json:"request_id"`
	// Attempts counts those of earlier generations too.
	Attempts int       `json:"attempts"`
	FailedAt time.Time `json:"failed_at"`
	// Pairs is how many of RoleIDs × UserIDs the letter stands for; see EachPair.
	Pairs int   `json:"pairs"`
	State State `json:"state"`
	// Lane is where the part came from, and the lane it competes in when it is tried again.
	Lane string `json:"lane"`
	// Payload is what could not be read, with reason bad_payload.
	Payload string `json:"payload,omitempty"`

	part *tasks.Part
}

// Gives reports whether the letter stands for roles that were to be given back, not taken.
func (l *Letter) Gives() bool { return l.part.Action == tasks.Add }

// EachPair calls visit for the pairs that the letter stands for.
func (l *Letter) EachPair(visit func(userID string, roleID int64)) {
	if len(l.UserIDs) == 0 {
		return
	}
	for user, role := range l.part.EachOwned() {
		visit(user, role)
	}
}

// letterOf reads a task of the dead-letter queue. What is no letter of unrole's becomes one that says so: an operator
// must be able to see and discard it.
func letterOf(info *asynq.TaskInfo) Letter {
	p, err := tasks.Decode(info.Payload)
	if err != nil {
		jobID, part := tasks.SplitAnyTaskID(info.ID)
		p = &tasks.Part{JobID: jobID, Part: part, Failure: &tasks.Failure{Reason: tasks.ReasonBadPayload, ErrMsg: err.Error(),
			Payload: info.Payload}}
	}
	f := p.Failure
	if f == nil {
		f = &tasks.Failure{Reason: tasks.ReasonUnknown, ErrMsg: "not set apart by unrole: somebody put the task into this queue"}
	}
	l := Letter{ID: info.ID, JobID: p.JobID, Part: p.Part, RoleIDs: p.RoleIDs, UserIDs: p.UserIDs, Reason: f.Reason,
		ErrCode: f.ErrCode, SubCode: f.SubCode, ErrMsg: f.ErrMsg, RequestID: f.RequestID, Attempts: f.Attempts,
		FailedAt: f.FailedAt.UTC(), State: states[info.State], Lane: f.Queue, Payload: string(f.Payload), part: p}
	if f.Reason == tasks.ReasonBadPayload {
		l.RoleIDs, l.UserIDs = nil, nil
	}
	if l.RoleIDs == nil || l.UserIDs == nil {
		l.RoleIDs, l.UserIDs = []int64{}, []string{}
	}
	l.EachPair(func(string, int64) { l.Pairs++ })
	return l
}
