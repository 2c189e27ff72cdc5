package simulator

import (
	"cmp"
	"maps"
	"slices"
)

type employee struct {
	name   string
	person Person
	// roles are those held, with the departments managed by each; none means everybody.
	roles map[int64][]int64
}

type role struct {
	name, group string
}

// AddUser puts a user into the directory; a user who is there already keeps their roles.
func (s *Simulator) AddUser(userID, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(userID)
	u.name, u.person.Name = name, name
}

// AddRole puts a role into the directory.
func (s *Simulator) AddRole(roleID int64, name, group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[roleID] = role{name: name, group: group}
}

// Grant gives the user the roles. User and roles that are not in the directory are added.
func (s *Simulator) Grant(userID string, roleIDs ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(userID)
	for _, id := range roleIDs {
		if _, known := s.roles[id]; !known {
			s.roles[id] = role{}
		}
		if _, held := u.roles[id]; !held {
			u.roles[id] = nil
		}
	}
}

// Revoke takes the roles from the user, as an administrator does in the console.
func (s *Simulator) Revoke(userID string, roleIDs ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[userID]; u != nil {
		for _, id := range roleIDs {
			delete(u.roles, id)
		}
	}
}

// Holds reports whether the user holds the role.
func (s *Simulator) Holds(userID string, roleID int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[userID]
	if u == nil {
		return false
	}
	_, holds := u.roles[roleID]
	return holds
}

// Holders are the users who hold the role, sorted.
func (s *Simulator) Holders(roleID int64) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holders(roleID)
}

// Assignments is the number of pairs in the directory.
func (s *Simulator) Assignments() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, u := range s.users {
		n += len(u.roles)
	}
	return n
}

// user returns the user, new if need be; s.mu is held.
func (s *Simulator) user(id string) *employee {
	u := s.users[id]
	if u == nil {
		u = &employee{person: Person{UserID: id}, roles: make(map[int64][]int64)}
		s.users[id] = u
	}
	return u
}

func (s *Simulator) holders(roleID int64) []string {
	var ids []string
	for id, u := range s.users {
		if _, holds := u.roles[roleID]; holds {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

type roleGroup struct {
	name  string
	roles []int64
}

// groups are the roles by their groups, both in order; s.mu is held.
func (s *Simulator) groups() []roleGroup {
	byName := make(map[string][]int64)
	for id, r := range s.roles {
		byName[r.group] = append(byName[r.group], id)
	}
	var all []roleGroup
	for name, ids := range byName {
		slices.Sort(ids)
		all = append(all, roleGroup{name, ids})
	}
	slices.SortFunc(all, func(a, b roleGroup) int { return cmp.Compare(a.name, b.name) })
	return all
}

// refusal is why an id is not taken: the code, and the words that go with it.
type refusal struct {
	code    int
	message string
}

// The codes of one kind, of which an id always gets the same.
var (
	invalidUser = []int{33012}
	userGone    = []int{60121, 46004, 60111, 40003, 40031}
	outOfScope  = []int{50002}
	invalidRole = []int{33011, 60301}
	systemRole  = []int{23004}
)

var idMessages = map[int]string{
	33012: "无效的USERID", 60121: "找不到该用户", 46004: "不存在的用户", 60111: "userid不存在", 40003: "不合法的UserID",
	40031: "不合法的UserID列表", 50002: "员工不在授权范围", 33011: "角色不存在", 60301: "角色信息不存在", 23004: "默认角色不允许操作",
}

// Standing is how DingTalk takes an id.
type Standing uint8

const (
	// Accepted is the standing of an id as the directory has it.
	Accepted Standing = iota
	// Invalid is a user or role that does not exist.
	Invalid
	// Gone is a user who left.
	Gone
	// OutOfScope is a user whom the app may not see.
	OutOfScope
	// System is a role that cannot be removed.
	System
)

// SetUser changes the standing of users from now on: Accepted, Invalid, Gone or OutOfScope.
func (s *Simulator) SetUser(standing Standing, userIDs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range userIDs {
		s.userStanding[id] = standing
	}
}

// SetRole changes the standing of roles from now on: Accepted, Invalid or System.
func (s *Simulator) SetRole(standing Standing, roleIDs ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range roleIDs {
		s.roleStanding[id] = standing
	}
}

// judgeUser says whether a user is refused; s.mu is held.
func (s *Simulator) judgeUser(id string) (refusal, bool) {
	if code, odd := s.opt.UserCodes[id]; odd {
		return refusal{code, "此用户被拒绝"}, true
	}
	standing, said := s.userStanding[id]
	_, known := s.users[id]
	exists := known || s.opt.Open && (s.opt.UserForm == nil || s.opt.UserForm(id))
	if !said && (!exists || s.chance("bad user "+id, 0) < s.opt.BadUserShare) {
		standing = Invalid
	}
	if s.failing(FaultRefusesUsers, s.now()) {
		standing = Invalid
	}
	codes := map[Standing][]int{Invalid: invalidUser, Gone: userGone, OutOfScope: outOfScope}[standing]
	return s.refuse("user "+id, 0, codes)
}

// judgeRole says whether a role is refused; s.mu is held.
func (s *Simulator) judgeRole(id int64) (refusal, bool) {
	if code, odd := s.opt.RoleCodes[id]; odd {
		return refusal{code, "此角色被拒绝"}, true
	}
	standing, said := s.roleStanding[id]
	_, known := s.roles[id]
	exists := known || s.opt.Open && (s.opt.RoleForm == nil || s.opt.RoleForm(id))
	if !said && (!exists || s.chance("bad role", uint64(id)) < s.opt.BadRoleShare) {
		standing = Invalid
	}
	codes := map[Standing][]int{Invalid: invalidRole, System: systemRole}[standing]
	return s.refuse("role", uint64(id), codes)
}

// refuse chooses one of the codes, for the same id always the same.
func (s *Simulator) refuse(what string, n uint64, codes []int) (refusal, bool) {
	if len(codes) == 0 {
		return refusal{}, false
	}
	code := codes[int(s.chance("code of "+what, n)*float64(len(codes)))]
	return refusal{code, idMessages[code]}, true
}

// RoleIDs are the roles in the directory, sorted.
func (s *Simulator) RoleIDs() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.roles))
}
