package simulator

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Company is an organisation as a file describes it.
type Company struct {
	People      []Person     `json:"people"`
	Departments []Department `json:"departments"`
	Roles       []struct {
		ID    int64  `json:"id"`
		Name  string `json:"name"`
		Group string `json:"group"`
	} `json:"roles"`
	// Left are people who have left already.
	Left []Person `json:"left"`
}

// Person is somebody of the directory. Only UserID is required; what is empty is left out of answers.
type Person struct {
	UserID string `json:"user_id"`
	Name   string `json:"name"`
	// Mobile is without a country code for the mainland, else as in +49-1511234567.
	Mobile    string `json:"mobile"`
	JobNumber string `json:"job_number"`
	UnionID   string `json:"union_id"`
	Email     string `json:"email"`
	OrgEmail  string `json:"org_email"`
	Title     string `json:"title"`
	// Departments are ids of departments; none means the root.
	Departments []int64 `json:"departments"`
	// Admin is 1 for the main administrator, 2 for a sub-administrator, 0 for everybody else.
	Admin int `json:"admin"`
	// External is a contact who is no employee: found by union id only.
	External bool `json:"external"`
	// RoleIDs are roles that they hold besides those that Grant gives.
	RoleIDs []int64 `json:"role_ids"`
	// LastDay is set while somebody is leaving, as the HR calls tell it.
	LastDay time.Time `json:"last_day"`
}

// Department is a node of the tree below the root, which has the id 1. A parent of 0 is the root.
type Department struct {
	ID     int64  `json:"id"`
	Parent int64  `json:"parent"`
	Name   string `json:"name"`
}

const rootDepartment = 1

// leaver is somebody who left, as the list of leavers keeps them for a year.
type leaver struct {
	Person
	at     time.Time
	reason string
}

// found fills the directory.
func (s *Simulator) found(c Company) {
	for _, d := range c.Departments {
		s.AddDepartment(d)
	}
	for _, r := range c.Roles {
		s.AddRole(r.ID, r.Name, r.Group)
	}
	for _, p := range c.People {
		s.AddPerson(p)
	}
	for _, p := range c.Left {
		s.AddPerson(p)
		s.Leave(p.UserID)
	}
}

// AddPerson puts a person into the directory, or changes what it knows of them; roles stay. Somebody who had left is back.
func (s *Simulator) AddPerson(p Person) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(p.UserID)
	u.name, u.person = p.Name, p
	for _, id := range p.RoleIDs {
		if _, held := u.roles[id]; !held {
			u.roles[id] = nil
		}
	}
	delete(s.userStanding, p.UserID)
}

// AddDepartment puts a department into the tree.
func (s *Simulator) AddDepartment(d Department) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.Parent == 0 {
		d.Parent = rootDepartment
	}
	s.departments[d.ID] = d
}

// Leave takes a person out of the directory, with the roles they hold: only the list of leavers still knows them.
func (s *Simulator) Leave(userID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.users[userID]; u != nil {
		s.leavers = append(s.leavers, leaver{Person: u.person, at: s.now(), reason: "leave"})
		delete(s.users, userID)
	}
	s.userStanding[userID] = Gone
}

// SetScope gives a user the departments that they manage by a role; none means everybody.
func (s *Simulator) SetScope(userID string, roleID int64, departments ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user(userID).roles[roleID] = departments
}

// Scope is what SetScope, or a call, gave the user.
func (s *Simulator) Scope(userID string, roleID int64) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.user(userID).roles[roleID])
}

// inDepartment reports whether the person is a direct member; s.mu is held.
func (u *employee) inDepartment(id int64) bool {
	if len(u.person.Departments) == 0 {
		return id == rootDepartment
	}
	return slices.Contains(u.person.Departments, id)
}

// employees are the ids of those who are in the directory and no external contacts, sorted; s.mu is held.
func (s *Simulator) employees(which func(*employee) bool) []string {
	var ids []string
	for id, u := range s.users {
		if !u.person.External && s.userStanding[id] == Accepted && which(u) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// below are the departments right below another, sorted; s.mu is held.
func (s *Simulator) below(id int64) []Department {
	var list []Department
	for _, at := range slices.Sorted(maps.Keys(s.departments)) {
		if d := s.departments[at]; d.Parent == id {
			list = append(list, d)
		}
	}
	return list
}

func (s *Simulator) knowsDepartment(id int64) bool {
	_, known := s.departments[id]
	return known || id == rootDepartment
}

// sameMobile compares numbers as DingTalk does: with and without the mainland's country code.
func sameMobile(a, b string) bool {
	return a != "" && strings.TrimPrefix(a, "+86-") == strings.TrimPrefix(b, "+86-")
}
