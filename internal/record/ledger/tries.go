package ledger

import "time"

// Tries counts the tries of something that DingTalk was too busy for: of a part, with its state, or of one step of a
// search, in memory. The zero value is something that was not tried yet.
type Tries struct {
	// Attempts that counted since the last success, and the fleet's number of accepted calls at the last one.
	Attempts int   `json:"attempts,omitempty"`
	Accepted int64 `json:"accepted,omitempty"`
	// All is every try since the last success, whether it counted or not; it sets the backoff.
	All int `json:"tries,omitempty"`
	// BusySince is when the first of them was answered.
	BusySince time.Time `json:"busy_since,omitzero"`
}

// Busy adds a try that was answered at now, when the fleet knew of so many accepted calls. It counts as an attempt only
// if some call was accepted since the previous one that did, so that an outage spends nothing, or if it counts anyway.
func (t *Tries) Busy(now time.Time, accepted int64, anyway bool) {
	t.PutOff(now)
	if t.Attempts == 0 || accepted > t.Accepted || anyway {
		t.Attempts++
		t.Accepted = accepted
	}
}

// PutOff puts the next try off as a busy answer does, for one that was not made.
func (t *Tries) PutOff(now time.Time) {
	t.All++
	if t.BusySince.IsZero() {
		t.BusySince = now
	}
}

// Proven has the next busy answer count as an attempt although no call was accepted: DingTalk has shown in another way that it is
// up.
func (t *Tries) Proven() { t.Accepted-- }

// Aged reports whether DingTalk has been busy for longer than most.
func (t *Tries) Aged(now time.Time, most time.Duration) bool {
	return !t.BusySince.IsZero() && now.Sub(t.BusySince) > most
}

// passed begins anew after a success.
func (t *Tries) passed() { *t = Tries{} }
