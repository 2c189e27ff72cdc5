package ledger

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event names what an audit entry records.
type Event string

const (
	EventSubmitted Event = "submitted"
	// EventResolved: whom and what the job means was looked up; EventRefused: it could not be.
	EventResolved Event = "resolved"
	EventRefused  Event = "refused"
	EventApproved Event = "approved"
	// EventReleased: the program that submitted the job has looked again, and lets it begin.
	EventReleased  Event = "released"
	EventAdopted   Event = "adopted"
	EventSettled   Event = "settled"
	EventReopened  Event = "reopened"
	EventCancelled Event = "cancelled"
	EventReplayed  Event = "replayed"
	EventDiscarded Event = "discarded"
	// EventVerified: DingTalk was asked who still holds the roles of the job.
	EventVerified Event = "verified"
	// EventErased: people were forgotten in the record; Pairs are theirs.
	EventErased Event = "erased"
)

// Entry is one line of a job's audit trail. It is written in the same script as what it records.
type Entry struct {
	At        time.Time `json:"at"`
	Event     Event     `json:"event"`
	JobID     string    `json:"job_id"`
	Part      string    `json:"part,omitempty"`
	By        string    `json:"by,omitempty"`
	Why       string    `json:"why,omitempty"`
	Source    string    `json:"source,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Pairs     int64     `json:"pairs,omitempty"`
	Users     int       `json:"users,omitempty"`
	Roles     int       `json:"roles,omitempty"`
	Removed   int64     `json:"removed,omitempty"`
	Restored  int64     `json:"restored,omitempty"`
	Dead      int64     `json:"dead,omitempty"`
	Cancelled int64     `json:"cancelled,omitempty"`
	Restores  string    `json:"restores,omitempty"`
	// Simulated is set in every entry of a job that a simulator answered.
	Simulated bool `json:"simulated,omitempty"`
	Letters   int  `json:"letters,omitempty"`
}

func encodeEntry(e Entry) (string, error) {
	e.At = e.At.UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("audit entry: %w", err)
	}
	return string(b), nil
}
