package ledger

import (
	"context"
	"fmt"
)

// LetterAct is what somebody is about to do with dead letters of one job.
type LetterAct struct {
	JobID string
	// Event is EventReplayed or EventDiscarded.
	Event Event
	// By names the person, Why is the reason given.
	By, Why string
	// Part is the letter's name where it is one.
	Part string
	// Letters and Pairs count what it is about.
	Letters int
	Pairs   int64
}

// Standing is how a job stands to an act on its dead letters.
type Standing int

const (
	// Recorded: the act is in the job's audit.
	Recorded Standing = iota
	// NoRecord: the ledger does not know the job, so that there is no audit to write to.
	NoRecord
	// JobCancelled: nothing of the job may be tried again; the act is not recorded.
	JobCancelled
)

// RecordLetterAct writes the act into the job's audit; whoever acts on letters calls it first, so that nothing happens
// to them unrecorded. A replay for a cancelled job is refused with JobCancelled.
func (l *Ledger) RecordLetterAct(ctx context.Context, act LetterAct) (Standing, error) {
	entry, err := encodeEntry(Entry{At: l.now(), Event: act.Event, JobID: act.JobID, Part: act.Part, By: act.By, Why: act.Why, Pairs: act.Pairs,
		Letters: act.Letters})
	if err != nil {
		return 0, err
	}
	mode := ""
	if act.Event == EventReplayed {
		mode = "replay"
	}
	reply, err := l.run(ctx, letterActScript, act.JobID, entry, mode)
	if err != nil {
		return 0, fmt.Errorf("record what happens to dead letters of job %s: %w", act.JobID, err)
	}
	return Standing(reply[0].(int64)), nil
}

// CancelledJobs returns those of the jobs that were cancelled. Unknown jobs are not.
func (l *Ledger) CancelledJobs(ctx context.Context, jobIDs []string) (map[string]bool, error) {
	cancelled := map[string]bool{}
	err := l.fields(ctx, jobIDs, []string{"cancelled_at"}, func(jobID string, f []string) { cancelled[jobID] = true })
	return cancelled, err
}

// Stamps returns, for each of the jobs, a text that changes with every settlement: what Expire takes.
func (l *Ledger) Stamps(ctx context.Context, jobIDs []string) (map[string]string, error) {
	stamps := map[string]string{}
	err := l.fields(ctx, jobIDs, []string{"touched_at"}, func(jobID string, f []string) { stamps[jobID] = f[0] })
	return stamps, err
}

// Expire lets the record of a finished job vanish after the retention, dead pairs or not: its last dead letter is gone.
// It does nothing and reports false when the job has moved since the stamp was taken (see Stamps) or is not finished.
// A record that expires already keeps its time.
func (l *Ledger) Expire(ctx context.Context, jobID, stamp string) (bool, error) {
	reply, err := l.run(ctx, expireScript, jobID, stamp, l.retention.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("let the record of job %s expire: %w", jobID, err)
	}
	return reply[0] == int64(1), nil
}
