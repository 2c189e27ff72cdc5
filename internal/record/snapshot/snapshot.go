// Package snapshot is what a preflight saw of the pairs of a job before anything was sent: kept with the job, for its
// reports and for giving back what it took.
package snapshot

import (
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Snapshot is what DingTalk showed when it was asked who holds what. The pairs of the job itself are those that were held.
type Snapshot struct {
	// SeenAt is when DingTalk was asked.
	SeenAt time.Time
	// NotHeld are the pairs that were asked for and that nobody held: they are not among the pairs of the job.
	NotHeld []Pair
	// Scopes are the management scopes of pairs of the job. A pair without one manages everybody.
	Scopes []Scope
	// Unresolved counts the rows of the list that named nobody, or more than one.
	Unresolved int
	// Rows say of what was asked for over HTTP and not resolved where it stands there, and why.
	Rows []Unresolved
}

// Unresolved is something that names nobody for certain, or whom or what must not be touched: nothing of it is among the pairs.
type Unresolved struct {
	// Pointer is where it stands in what was asked, a JSON pointer: /removals/0/users/3.
	Pointer string `json:"pointer"`
	// Reason is one word for it.
	Reason Reason `json:"reason"`
	// Detail says it in a sentence, without the number or name that was written there.
	Detail string `json:"detail"`
	// Candidates are those who fit where several do, the first of them.
	Candidates []Candidate `json:"candidates,omitempty"`
}

// ErasedDetail stands in the place of a Detail that named somebody who was erased since.
const ErasedDetail = "somebody who fitted was erased from this record"

// Reason is why something was not resolved.
type Reason string

// The reasons that there are.
const (
	Unknown       Reason = "unknown"
	Ambiguous     Reason = "ambiguous"
	Departed      Reason = "departed"
	External      Reason = "external"
	Contradiction Reason = "contradiction"
	Administrator Reason = "administrator"
	UnknownRole   Reason = "unknown_role"
	AmbiguousRole Reason = "ambiguous_role"
	DefaultGroup  Reason = "default_group"
)

// Candidate is one of several people who fit, as somebody can tell them apart.
type Candidate struct {
	UserID     string `json:"user_id"`
	Name       string `json:"name,omitempty"`
	Department string `json:"department,omitempty"`
}

// Pair is one user and one role.
type Pair struct {
	UserID string
	RoleID int64
}

// Scope is the management scope of a pair: the departments, at least one, over which the user has the role.
type Scope struct {
	Pair
	Departments []int64
}

// version is the stored form that this build writes, and the only one that it reads.
const version = 1

// maxStored bounds what Decode unpacks, in bytes. A million pairs of 100,000 users are some 10 MB unpacked.
const maxStored = 2 << 30

// stored is the form of a Snapshot in Redis, as JSON, deflated. Positions point into Users and Roles.
type stored struct {
	Version int       `json:"v"`
	SeenAt  time.Time `json:"seen_at"`
	Users   []string  `json:"users,omitempty"`
	Roles   []int64   `json:"roles,omitempty"`
	// NotHeld has a list for each user: its position, then those of its roles.
	NotHeld    [][]int       `json:"not_held,omitempty"`
	Scopes     []storedScope `json:"scopes,omitempty"`
	Unresolved int           `json:"unresolved,omitempty"`
	Rows       []Unresolved  `json:"rows,omitempty"`
}

type storedScope struct {
	User        int     `json:"u"`
	Role        int     `json:"r"`
	Departments []int64 `json:"d"`
}

// Encode returns the stored form: some 2 bytes per pair that was not held. The same snapshot always gives the same bytes.
func (s *Snapshot) Encode() ([]byte, error) {
	st := stored{Version: version, SeenAt: s.SeenAt.UTC(), Unresolved: s.Unresolved, Rows: s.Rows}
	users, roles := map[string]int{}, map[int64]int{}
	for _, p := range s.NotHeld {
		u := position(users, &st.Users, p.UserID)
		if n := len(st.NotHeld); n == 0 || st.NotHeld[n-1][0] != u {
			st.NotHeld = append(st.NotHeld, []int{u})
		}
		last := &st.NotHeld[len(st.NotHeld)-1]
		*last = append(*last, position(roles, &st.Roles, p.RoleID))
	}
	for _, sc := range s.Scopes {
		if len(sc.Departments) == 0 {
			return nil, fmt.Errorf("snapshot: the scope of %s/%d has no department: leave it out", sc.UserID, sc.RoleID)
		}
		st.Scopes = append(st.Scopes, storedScope{User: position(users, &st.Users, sc.UserID), Role: position(roles, &st.Roles, sc.RoleID),
			Departments: sc.Departments})
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := json.NewEncoder(w).Encode(st); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return out.Bytes(), nil
}

// position is that of the id in the list, where it is put if need be.
func position[T comparable](at map[T]int, list *[]T, id T) int {
	i, known := at[id]
	if !known {
		i = len(*list)
		at[id] = i
		*list = append(*list, id)
	}
	return i
}

// Decode reads what Encode returned.
func Decode(data []byte) (*Snapshot, error) {
	var st stored
	r := flate.NewReader(bytes.NewReader(data))
	if err := json.NewDecoder(io.LimitReader(r, maxStored)).Decode(&st); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if st.Version != version {
		return nil, fmt.Errorf("snapshot: version %d is not known to this build (it knows %d): use the newer one", st.Version, version)
	}
	s := &Snapshot{SeenAt: st.SeenAt, Unresolved: st.Unresolved, Rows: st.Rows}
	pair := func(u, r int) (Pair, error) {
		if u < 0 || u >= len(st.Users) || r < 0 || r >= len(st.Roles) {
			return Pair{}, fmt.Errorf("snapshot: user %d of %d, role %d of %d", u, len(st.Users), r, len(st.Roles))
		}
		return Pair{st.Users[u], st.Roles[r]}, nil
	}
	for _, row := range st.NotHeld {
		for i := 1; i < len(row); i++ {
			p, err := pair(row[0], row[i])
			if err != nil {
				return nil, err
			}
			s.NotHeld = append(s.NotHeld, p)
		}
	}
	for _, sc := range st.Scopes {
		p, err := pair(sc.User, sc.Role)
		if err != nil {
			return nil, err
		}
		s.Scopes = append(s.Scopes, Scope{Pair: p, Departments: sc.Departments})
	}
	return s, nil
}

// Compare orders pairs, user by user.
func Compare(a, b Pair) int {
	return cmp.Or(cmp.Compare(a.UserID, b.UserID), cmp.Compare(a.RoleID, b.RoleID))
}
