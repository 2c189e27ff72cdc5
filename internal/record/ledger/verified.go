package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/tasks"
)

// Verdict is what DingTalk said about a pair when it was asked who holds the role. The set is closed.
type Verdict string

const (
	Gone           Verdict = "gone"
	StillHeld      Verdict = "still_held"
	VerdictUnknown Verdict = "unknown"
	// Of the pairs of a restore, which are to be held; OtherScope is held, but over other departments than before.
	Held       Verdict = "held"
	NotHeld    Verdict = "not_held"
	OtherScope Verdict = "other_scope"
)

// Verification is the sum of what DingTalk said about the pairs of a job: Total is the sum of the others.
type Verification struct {
	At        time.Time `json:"at"`
	By        string    `json:"by,omitempty"`
	Total     int64     `json:"total"`
	Gone      int64     `json:"gone"`
	StillHeld int64     `json:"still_held"`
	Unknown   int64     `json:"unknown"`
	// Action is that of the job. Held, NotHeld and OtherScope are of a restore, Gone and StillHeld of a removal.
	Action     tasks.Action `json:"action,omitempty"`
	Held       int64        `json:"held,omitempty"`
	NotHeld    int64        `json:"not_held,omitempty"`
	OtherScope int64        `json:"other_scope,omitempty"`
	// Why says why some are unknown.
	Why string `json:"why,omitempty"`
}

// In says the sum in a language.
func (v Verification) In(l texts.Lang) string {
	if v.Action == tasks.Add {
		return texts.T("%d held, %d not held, %d with another management scope, %d unknown", v.Held, v.NotHeld, v.OtherScope, v.Unknown).In(l)
	}
	return texts.T("%d gone, %d still held, %d unknown", v.Gone, v.StillHeld, v.Unknown).In(l)
}

// Add counts a pair.
func (v *Verification) Add(said Verdict) {
	v.Total++
	switch said {
	case Gone:
		v.Gone++
	case StillHeld:
		v.StillHeld++
	case Held:
		v.Held++
	case NotHeld:
		v.NotHeld++
	case OtherScope:
		v.OtherScope++
	default:
		v.Unknown++
	}
}

// Contrary reports whether a verdict says that the pair is not as its job was to leave it.
func (v Verdict) Contrary() bool { return v == StillHeld || v == NotHeld || v == OtherScope }

// The verdicts stand among the states of the parts, so that they live exactly as long as the job: one field per part
// under its name with this prefix, which no part's name has, and the sum under the bare prefix.
const verifiedField = "verified"

var verdictCodes = map[Verdict]byte{Gone: 'g', StillHeld: 'h', VerdictUnknown: '?', Held: 'H', NotHeld: 'n', OtherScope: 's'}

// verdicts is the stored form of a part's verdicts: for each pair of its rectangle, user by user, a code and how many
// in a row.
type verdicts struct {
	At   time.Time `json:"at"`
	Runs []run     `json:"runs"`
}

type run struct {
	Code  string `json:"c"`
	Pairs int    `json:"n"`
}

// PutVerdicts keeps what DingTalk said about the pairs of a part: one verdict per pair of its rectangle, user by user.
// What an earlier verification said is replaced.
func (l *Ledger) PutVerdicts(ctx context.Context, rec PartRecord, at time.Time, said []Verdict) error {
	if len(said) != rec.Part.Pairs() {
		return fmt.Errorf("keep the verdicts on part %s: %d for %d pairs", rec.Part.TaskID(), len(said), rec.Part.Pairs())
	}
	v := verdicts{At: at.UTC()}
	for verdict, n := range pairs.Runs(said) {
		v.Runs = append(v.Runs, run{string(verdictCodes[verdict]), n})
	}
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.putVerdicts(ctx, rec.Part.JobID, verifiedField+":"+rec.Part.Part, body)
}

// PutVerification keeps the sum of a verification, and writes it to the audit trail.
func (l *Ledger) PutVerification(ctx context.Context, jobID string, v Verification) error {
	v.At = v.At.UTC()
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	entry, err := encodeEntry(Entry{At: v.At, Event: EventVerified, JobID: jobID, By: v.By, Pairs: v.Total,
		Why: v.In(texts.English)})
	if err != nil {
		return err
	}
	reply, err := l.run(ctx, putVerificationScript, jobID, verifiedField, body, entry)
	if err != nil {
		return fmt.Errorf("keep the verification of job %s: %w", jobID, err)
	}
	if reply[0].(int64) == 0 {
		return &NotFoundError{JobID: jobID}
	}
	return nil
}

func (l *Ledger) putVerdicts(ctx context.Context, jobID, field string, body []byte) error {
	reply, err := l.run(ctx, putVerdictsScript, jobID, field, body)
	if err != nil {
		return fmt.Errorf("keep the verdicts on job %s: %w", jobID, err)
	}
	if reply[0].(int64) == 0 {
		return &NotFoundError{JobID: jobID}
	}
	return nil
}

// Verification returns the sum of the last verification of a job; ok is false where there was none.
func (l *Ledger) Verification(ctx context.Context, jobID string) (v Verification, ok bool, err error) {
	body, err := l.rdb.HGet(ctx, keys(jobID)[keyState], verifiedField).Bytes()
	if errors.Is(err, redis.Nil) {
		return Verification{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		return Verification{}, false, fmt.Errorf("read the verification of job %s: %w", jobID, err)
	}
	return v, true, nil
}

// Verdicts returns what the last verification said about the pairs of a part, as PutVerdicts took it; nil where it said
// nothing, such as about a part that came into being since.
func (l *Ledger) Verdicts(ctx context.Context, rec PartRecord) ([]Verdict, error) {
	body, err := l.rdb.HGet(ctx, keys(rec.Part.JobID)[keyState], verifiedField+":"+rec.Part.Part).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	var v verdicts
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	if err != nil {
		return nil, fmt.Errorf("read the verdicts on part %s: %w", rec.Part.TaskID(), err)
	}
	said, err := pairs.Unrolled(func(yield func(Verdict, int) bool) {
		for _, r := range v.Runs {
			verdict := VerdictUnknown
			for name, code := range verdictCodes {
				if r.Code == string(code) {
					verdict = name
				}
			}
			if !yield(verdict, r.Pairs) {
				return
			}
		}
	}, rec.Part.Pairs())
	if err != nil {
		return nil, fmt.Errorf("read the verdicts on part %s: %w", rec.Part.TaskID(), err)
	}
	return said, nil
}

// VerifiedRow is a requested pair, what became of it, and what the last verification said; Verified is empty where it
// said nothing.
type VerifiedRow struct {
	Row
	Verified Verdict
}

// VerifiedRows is Rows with verdicts, at the price of one more call to Redis per part.
func (l *Ledger) VerifiedRows(ctx context.Context, jobID string, visit func(VerifiedRow) error) error {
	return l.Each(ctx, jobID, func(rec PartRecord) error {
		said, err := l.Verdicts(ctx, rec)
		if err != nil {
			return err
		}
		for i, row := range rec.Rows() {
			v := VerifiedRow{Row: row}
			if said != nil {
				v.Verified = said[i]
			}
			if err := visit(v); err != nil {
				return err
			}
		}
		return nil
	})
}
