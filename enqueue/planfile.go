package enqueue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/tasks"
)

// planFileVersion is the form of a plan file that this build writes and reads.
const planFileVersion = 1

// maxPlanFile bounds what ReadPlan takes in, in bytes; a plan of a million pairs is some 8 MB.
const maxPlanFile = 1 << 30

// planFile is a plan on disk. Positions point into Users and Roles.
type planFile struct {
	Version   int        `json:"unrole_plan"`
	CreatedAt time.Time  `json:"created_at"`
	Pairs     int        `json:"pairs"`
	Users     []string   `json:"users"`
	Roles     []int64    `json:"roles"`
	Calls     []planCall `json:"calls"`
	// Snapshot is the stored form of what a preflight saw; none where nobody looked.
	Snapshot []byte `json:"snapshot,omitempty"`
	// SHA256 is over this object with SHA256 empty, as this build writes it.
	SHA256 string `json:"sha256"`
}

type planCall struct {
	Users []int     `json:"u"`
	Roles []int     `json:"r"`
	Own   tasks.Own `json:"own,omitempty"`
}

func (f planFile) digest() (string, error) {
	f.SHA256 = ""
	b, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// WritePlan writes a plan that ReadPlan reads back: the removals, the calls that PlanOf made of them, what a preflight saw
// of them (nil where there was none), and a digest that shows when anything in it was changed.
func WritePlan(w io.Writer, r *Removals, parts []tasks.Part, seen *Snapshot, now time.Time) error {
	f := planFile{Version: planFileVersion, CreatedAt: now.UTC().Truncate(time.Second), Pairs: r.Pairs(), Users: r.Users(), Roles: r.Roles()}
	userAt, roleAt := positionsOf(f.Users), positionsOf(f.Roles)
	for i := range parts {
		c := planCall{Own: parts[i].Own}
		for _, u := range parts[i].UserIDs {
			c.Users = append(c.Users, userAt[u])
		}
		for _, role := range parts[i].RoleIDs {
			c.Roles = append(c.Roles, roleAt[role])
		}
		f.Calls = append(f.Calls, c)
	}
	var err error
	if seen != nil {
		if f.Snapshot, err = seen.Encode(); err != nil {
			return fmt.Errorf("write plan: %w", err)
		}
	}
	if f.SHA256, err = f.digest(); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	if err := json.NewEncoder(w).Encode(f); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

func positionsOf[T comparable](list []T) map[T]int {
	at := make(map[T]int, len(list))
	for i, id := range list {
		at[id] = i
	}
	return at
}

// ErrPlanChanged says that a plan file is not what WritePlan wrote.
var ErrPlanChanged = texts.Sentinel(texts.T("the plan was changed after it was saved: make it again with unrole plan --save"))

// ReadPlan reads a plan that WritePlan wrote, for a job of the given id; the snapshot is nil where nobody looked. It returns
// ErrPlanChanged, or an error that says what is wrong, for anything else; nothing of such a file may be used.
func ReadPlan(r io.Reader, jobID string) (*Removals, []tasks.Part, *Snapshot, error) {
	var f planFile
	dec := json.NewDecoder(io.LimitReader(r, maxPlanFile))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, nil, nil, texts.T("this is not a plan that unrole saved: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, nil, ErrPlanChanged
	}
	if f.Version != planFileVersion {
		return nil, nil, nil, texts.T("the plan has version %d, this build knows %d: make it again with unrole plan --save", f.Version, planFileVersion)
	}
	if sum, err := f.digest(); err != nil || sum != f.SHA256 {
		return nil, nil, nil, ErrPlanChanged
	}
	removals := &Removals{}
	var parts []tasks.Part
	for i, c := range f.Calls {
		p := tasks.Part{V: tasks.Version, JobID: jobID, Part: strconv.Itoa(i), Own: c.Own}
		for _, u := range c.Users {
			if u < 0 || u >= len(f.Users) {
				return nil, nil, nil, fmt.Errorf("call %d of the plan names user %d of %d", i, u, len(f.Users))
			}
			p.UserIDs = append(p.UserIDs, f.Users[u])
		}
		for _, r := range c.Roles {
			if r < 0 || r >= len(f.Roles) {
				return nil, nil, nil, fmt.Errorf("call %d of the plan names role %d of %d", i, r, len(f.Roles))
			}
			p.RoleIDs = append(p.RoleIDs, f.Roles[r])
		}
		if err := p.Validate(); err != nil {
			return nil, nil, nil, fmt.Errorf("call %d of the plan: %w", i, err)
		}
		if !p.Fits() {
			return nil, nil, nil, fmt.Errorf("call %d of the plan is larger than a call may be", i)
		}
		if err := removals.addOwned(&p); err != nil {
			return nil, nil, nil, fmt.Errorf("call %d of the plan %w", i, err)
		}
		parts = append(parts, p)
	}
	if removals.Pairs() != f.Pairs || removals.Pairs() == 0 && len(f.Snapshot) == 0 {
		return nil, nil, nil, fmt.Errorf("the calls of the plan have %d pairs, it says %d", removals.Pairs(), f.Pairs)
	}
	var seen *Snapshot
	if len(f.Snapshot) > 0 {
		var err error
		if seen, err = snapshot.Decode(f.Snapshot); err != nil {
			return nil, nil, nil, fmt.Errorf("what was seen when the plan was made: %w", err)
		}
	}
	return removals, parts, seen, nil
}
