package enqueue

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"strings"

	"github.com/unrole/unrole/tasks"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/cover"
)

// Removals is the set of requested pairs: distinct users and roles in order of first appearance, and for each user its
// roles. Memory grows with the distinct pairs only, never with the text they were read from. The zero value is an
// empty set. It may be read by several goroutines at once, not while Add runs.
type Removals struct {
	users   []string
	roles   []int64
	userPos map[string]int32
	rolePos map[int64]pairs.Role
	// rolesOf holds role positions, ascending. Of a user in crowded it is sorted only up to what tidy has seen.
	rolesOf [][]pairs.Role
	// crowded finds the roles of users that have too many for insertion in order to stay cheap.
	crowded    map[int32]map[pairs.Role]struct{}
	untidy     map[int32]struct{}
	pairs      int
	duplicates int
}

// crowdedAt is the number of roles above which a user's roles are looked up in a map and sorted afterwards. A real
// person never has so many; a hostile file must not cost the square of them.
const crowdedAt = 256

// MaxPairs is the most pairs of one submission; at four bytes each they fit beside everything else.
const MaxPairs = 20_000_000

// FromLists makes the set of every user with every role. Its error names each id that DingTalk cannot know, a line each;
// it is one, too, when either list is empty, or the pairs are more than MaxPairs.
func FromLists(users []string, roles []int64) (*Removals, error) {
	if len(users) > 0 && len(roles) > MaxPairs/len(users) {
		return nil, texts.T("more than %d pairs are asked for: split them into several submissions", MaxPairs)
	}
	var bad []error
	for i, user := range users {
		if err := tasks.ValidateUserID(user); err != nil {
			bad = append(bad, texts.T("user %d: %v", i+1, err))
		}
	}
	for i, role := range roles {
		if err := tasks.ValidateRoleID(role); err != nil {
			bad = append(bad, texts.T("role %d: %v", i+1, err))
		}
	}
	if len(users) == 0 {
		bad = append(bad, texts.T("no user is given"))
	}
	if len(roles) == 0 {
		bad = append(bad, texts.T("no role is given"))
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	r := &Removals{}
	for _, user := range users {
		for _, role := range roles {
			r.Add(user, role)
		}
	}
	r.tidy()
	return r, nil
}

// Add puts a pair into the set and reports whether it is new; a pair that is there already is counted as a duplicate.
// It does not check the ids: tasks.ValidateUserID and tasks.ValidateRoleID do, and FromLists has.
func (r *Removals) Add(user string, role int64) bool {
	return r.addPair(r.user(user), r.role(role))
}

// user is the position of the user, who is new if need be.
func (r *Removals) user(id string) int32 {
	if u, ok := r.userPos[id]; ok {
		return u
	}
	if r.userPos == nil {
		r.userPos = make(map[string]int32)
	}
	// The caller's string may be a piece of something large.
	id = strings.Clone(id)
	u := int32(len(r.users))
	r.userPos[id] = u
	r.users = append(r.users, id)
	r.rolesOf = append(r.rolesOf, nil)
	return u
}

// role is the position of the role, which is new if need be.
func (r *Removals) role(id int64) pairs.Role {
	if p, ok := r.rolePos[id]; ok {
		return p
	}
	if r.rolePos == nil {
		r.rolePos = make(map[int64]pairs.Role)
	}
	p := pairs.Role(len(r.roles))
	r.rolePos[id] = p
	r.roles = append(r.roles, id)
	return p
}

func (r *Removals) addPair(u int32, p pairs.Role) bool {
	have := r.rolesOf[u]
	if len(have) >= crowdedAt {
		return r.addCrowded(u, p)
	}
	at, found := slices.BinarySearch(have, p)
	if found {
		r.duplicates++
		return false
	}
	if have == nil {
		have = make([]pairs.Role, 0, 2)
	}
	r.rolesOf[u] = slices.Insert(have, at, p)
	r.pairs++
	return true
}

func (r *Removals) addCrowded(u int32, p pairs.Role) bool {
	set := r.crowded[u]
	if set == nil {
		set = make(map[pairs.Role]struct{}, 2*crowdedAt)
		for _, q := range r.rolesOf[u] {
			set[q] = struct{}{}
		}
		if r.crowded == nil {
			r.crowded = make(map[int32]map[pairs.Role]struct{})
			r.untidy = make(map[int32]struct{})
		}
		r.crowded[u] = set
	}
	if _, found := set[p]; found {
		r.duplicates++
		return false
	}
	set[p] = struct{}{}
	have := r.rolesOf[u]
	if p < have[len(have)-1] {
		r.untidy[u] = struct{}{}
	}
	r.rolesOf[u] = append(have, p)
	r.pairs++
	return true
}

// tidy sorts what addCrowded left unsorted.
func (r *Removals) tidy() {
	if len(r.untidy) == 0 {
		return
	}
	for u := range r.untidy {
		slices.Sort(r.rolesOf[u])
	}
	clear(r.untidy)
}

// Users lists the distinct user ids in order of first appearance. The slice belongs to r.
func (r *Removals) Users() []string { return r.users }

// Roles lists the distinct role ids in order of first appearance. The slice belongs to r.
func (r *Removals) Roles() []int64 { return r.roles }

// RolesOf goes through the ids of the roles that user u (a position in Users) is to lose, in the order of Roles.
func (r *Removals) RolesOf(u int) iter.Seq[int64] {
	r.tidy()
	return func(yield func(int64) bool) {
		for _, p := range r.rolesOf[u] {
			if !yield(r.roles[p]) {
				return
			}
		}
	}
}

// Pairs is the number of distinct pairs.
func (r *Removals) Pairs() int { return r.pairs }

// Duplicates is the number of pairs that were added again.
func (r *Removals) Duplicates() int { return r.duplicates }

// matrix is the set by position, as the planner takes it. The slices belong to r.
func (r *Removals) matrix() cover.Matrix {
	r.tidy()
	return cover.Matrix{NumRoles: len(r.roles), Roles: r.rolesOf}
}

// Digest names the content: the SHA-256 in hexadecimal of all pairs in a canonical order. Two sets have the same
// digest exactly when they hold the same pairs, in whatever order and however often these were added. The form is
// fixed, since it is kept with jobs that outlive a build: users in ascending order of their bytes, each as its length,
// its id, the number of its roles and its role ids ascending, every number as 8 bytes, most significant first.
func (r *Removals) Digest() string {
	r.tidy()
	order := make([]int32, len(r.users))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(r.users[a], r.users[b]) })

	sum := sha256.New()
	var buf []byte
	var ids []int64
	for _, u := range order {
		ids = ids[:0]
		for _, p := range r.rolesOf[u] {
			ids = append(ids, r.roles[p])
		}
		slices.Sort(ids)
		buf = binary.BigEndian.AppendUint64(buf[:0], uint64(len(r.users[u])))
		buf = append(buf, r.users[u]...)
		buf = binary.BigEndian.AppendUint64(buf, uint64(len(ids)))
		for _, id := range ids {
			buf = binary.BigEndian.AppendUint64(buf, uint64(id))
		}
		sum.Write(buf)
	}
	return hex.EncodeToString(sum.Sum(nil))
}
