package ledger

import "time"

// Tries counts the tries of something that DingTalk was too busy for: of a part, with its state, or of one step of a
// search, in memory. The zero value is something that was not tried yet.
type Tries struct {
	// Attempts that counted since the last success, and the fleet's number of accepted calls at the last one.
	Attempts int   `json:"attempts,omitempty"`
	Accepted int64 `json:"accepted,omitempty"`
	// All is every try since the last success, whether it counted or not; Early are those of them that came before the pause
	// after an earlier one was over. The others set the backoff.
	All   int `json:"tries,omitempty"`
	Early int `json:"early,omitempty"`
	// Rests is until when a try is early.
	Rests time.Time `json:"rests,omitzero"`
	// BusySince is when the first of them was answered.
	BusySince time.Time `json:"busy_since,omitzero"`
}

// Busy adds a try that was answered at now, when the fleet knew of so many accepted calls. It counts as an attempt only
// if some call was accepted since the previous one that did, so that an outage spends nothing, or if it counts anyway; and
// only if the pause since was over, so that attempts last as long as the pauses, however often it is tried in between.
func (t *Tries) Busy(now time.Time, accepted int64, anyway bool) {
	if t.PutOff(now) && (t.Attempts == 0 || accepted > t.Accepted || anyway) {
		t.Attempts++
		t.Accepted = accepted
	}
}

// PutOff puts the next try off as a busy answer does, for one that was not made. It reports whether the pause was over.
func (t *Tries) PutOff(now time.Time) bool {
	t.All++
	if t.BusySince.IsZero() {
		t.BusySince = now
	}
	early := now.Before(t.Rests)
	if early {
		t.Early++
	}
	return !early
}

// Due are the tries since the last success that set the backoff.
func (t *Tries) Due() int { return t.All - t.Early }

// Proven has the next busy answer count as an attempt although no call was accepted: DingTalk has shown in another way that it is
// up.
func (t *Tries) Proven() { t.Accepted-- }

// Aged reports whether DingTalk has been busy for longer than most.
func (t *Tries) Aged(now time.Time, most time.Duration) bool {
	return !t.BusySince.IsZero() && now.Sub(t.BusySince) > most
}

// Anew forgets the tries, but not since when DingTalk is busy.
func (t *Tries) Anew() { *t = Tries{BusySince: t.BusySince} }

// passed begins anew after a success.
func (t *Tries) passed() { *t = Tries{} }
