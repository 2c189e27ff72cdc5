package dingtalk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/unrole/unrole/tasks"
)

// Limits of one page (A; the one of members is that of a neighbouring call, D).
const (
	MaxMembersPage = 100
	MaxSearchPage  = 50
	MaxLeaversPage = 50
	// MaxLeaversSpan is the longest time that one question about leavers may cover.
	MaxLeaversSpan = 365 * 24 * time.Hour
)

// RootDepartment is the department that has all others below it.
const RootDepartment int64 = 1

// User is what the directory knows of one user. What the app may not read is empty.
type User struct {
	UserID, Name                                string
	Mobile, JobNumber, UnionID, Email, OrgEmail string
	Departments                                 []int64
	// Admin is set for administrators of the organisation, main and sub.
	Admin  bool
	Active bool
	// Roles are those held, the default group's too; only User fills them in.
	Roles []Role
}

// member is a user as v2/user/get and v2/user/list have them.
type member struct {
	UserID    string            `json:"userid"`
	UnionID   string            `json:"unionid"`
	Name      string            `json:"name"`
	Mobile    string            `json:"mobile"`
	JobNumber string            `json:"job_number"`
	Email     string            `json:"email"`
	OrgEmail  string            `json:"org_email"`
	Admin     flexBool          `json:"admin"`
	Active    flexBool          `json:"active"`
	DeptIDs   flexList[flexInt] `json:"dept_id_list"`
	RoleList  flexList[struct {
		ID        flexInt `json:"id"`
		Name      string  `json:"name"`
		GroupName string  `json:"group_name"`
	}] `json:"role_list"`
}

func (m member) user() User {
	u := User{UserID: m.UserID, Name: m.Name, Mobile: m.Mobile, JobNumber: m.JobNumber, UnionID: m.UnionID, Email: m.Email,
		OrgEmail: m.OrgEmail, Admin: bool(m.Admin), Active: bool(m.Active)}
	for _, id := range m.DeptIDs {
		u.Departments = append(u.Departments, int64(id))
	}
	for _, role := range m.RoleList {
		u.Roles = append(u.Roles, Role{ID: int64(role.ID), Name: role.Name, Group: role.GroupName})
	}
	return u
}

// User returns what the directory knows of the user, with the roles they hold. Somebody who is not there, or left, is an
// *Error whose Class blames the user; other errors are as RemoveRoles has them.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	if err := tasks.ValidateUserID(userID); err != nil {
		return User{}, fmt.Errorf("%s: %w: %w", opUser, ErrNotSent, err)
	}
	var m member
	err := c.read(ctx, opUser, url.Values{"userid": {userID}}, &m)
	if m.UserID == "" {
		m.UserID = userID
	}
	return m.user(), err
}

// UserByMobile returns the user id of serving staff with the mobile number: eleven digits, or as in +49-1511234567 outside
// the mainland (A). Nobody, and everybody who left, is an *Error of ClassUserGone; a number that is none, of
// ClassInvalidUser.
func (c *Client) UserByMobile(ctx context.Context, mobile string) (string, error) {
	var found struct {
		UserID string `json:"userid"`
	}
	err := c.read(ctx, opMobile, url.Values{"mobile": {mobile}}, &found)
	return found.UserID, err
}

// UserByUnionID returns the user id of somebody by the union id. external is set for a contact who is no employee.
func (c *Client) UserByUnionID(ctx context.Context, unionID string) (userID string, external bool, err error) {
	var found struct {
		UserID      string  `json:"userid"`
		ContactType flexInt `json:"contact_type"`
	}
	err = c.read(ctx, opUnion, url.Values{"unionid": {unionID}}, &found)
	return found.UserID, found.ContactType == 1, err
}

// Department is a node of the tree of departments.
type Department struct {
	ID   int64
	Name string
	// Parent is the department right above; 0 for the root, and where it is not known.
	Parent int64
}

// Departments lists those right below another; the root is RootDepartment.
func (c *Client) Departments(ctx context.Context, below int64) ([]Department, error) {
	var list flexList[struct {
		ID   flexInt `json:"dept_id"`
		Name string  `json:"name"`
	}]
	if err := c.read(ctx, opDepartments, url.Values{"dept_id": {strconv.FormatInt(below, 10)}}, &list); err != nil {
		return nil, err
	}
	departments := make([]Department, len(list))
	for i, d := range list {
		departments[i] = Department{ID: int64(d.ID), Name: d.Name, Parent: below}
	}
	return departments, nil
}

// Department returns one department by its id (C).
func (c *Client) Department(ctx context.Context, id int64) (Department, error) {
	var found struct {
		Name   string  `json:"name"`
		Parent flexInt `json:"parent_id"`
	}
	err := c.read(ctx, opDepartment, url.Values{"dept_id": {strconv.FormatInt(id, 10)}}, &found)
	return Department{ID: id, Name: found.Name, Parent: int64(found.Parent)}, err
}

// MembersPage is a page of the direct members of a department. Somebody in two departments is in both.
type MembersPage struct {
	Users []User
	// Next is the cursor of the next page, if HasMore.
	Next    int64
	HasMore bool
}

// Members returns a page of the direct members of a department: size 1 to MaxMembersPage, the first cursor is 0.
func (c *Client) Members(ctx context.Context, department, cursor int64, size int) (MembersPage, error) {
	if err := checkPage(opMembers, int(cursor), size, MaxMembersPage); err != nil {
		return MembersPage{}, err
	}
	var result struct {
		HasMore flexBool         `json:"has_more"`
		Next    flexInt          `json:"next_cursor"`
		List    flexList[member] `json:"list"`
	}
	if err := c.read(ctx, opMembers, url.Values{"dept_id": {strconv.FormatInt(department, 10)}, "cursor": {strconv.FormatInt(cursor, 10)},
		"size": {strconv.Itoa(size)}}, &result); err != nil {
		return MembersPage{}, err
	}
	page := MembersPage{Next: int64(result.Next), HasMore: bool(result.HasMore)}
	if page.HasMore && page.Next <= cursor {
		return MembersPage{}, fmt.Errorf("members of department %d: DingTalk says that there are more after cursor %d, and names %d as the next one", department, cursor, page.Next)
	}
	for _, m := range result.List {
		page.Users = append(page.Users, m.user())
	}
	return page, nil
}

// Admins lists the user ids of the organisation's administrators, main and sub.
func (c *Client) Admins(ctx context.Context) ([]string, error) {
	var list flexList[struct {
		UserID string `json:"userid"`
	}]
	if err := c.read(ctx, opAdmins, url.Values{}, &list); err != nil {
		return nil, err
	}
	ids := make([]string, len(list))
	for i, admin := range list {
		ids[i] = admin.UserID
	}
	return ids, nil
}

// ContactScope is how far the app sees.
type ContactScope struct {
	// Departments and Users are those that the app may read; the department RootDepartment is the whole organisation.
	Departments []int64
	Users       []string
	// Fields are the facts about people that it may read.
	Fields []string
}

// Scope asks how far the app sees. It says nothing of the app's permissions.
func (c *Client) Scope(ctx context.Context) (ContactScope, error) {
	fields, err := c.call(ctx, question{op: opScopes})
	if err != nil {
		return ContactScope{}, err
	}
	var authed struct {
		Users       flexList[string]  `json:"authed_user"`
		Departments flexList[flexInt] `json:"authed_dept"`
	}
	var names flexList[string]
	if err := into(opScopes, fields["auth_org_scopes"], "", &authed); err != nil {
		return ContactScope{}, err
	}
	if err := into(opScopes, fields["auth_user_field"], "", &names); err != nil {
		return ContactScope{}, err
	}
	scope := ContactScope{Users: authed.Users, Fields: names}
	for _, id := range authed.Departments {
		scope.Departments = append(scope.Departments, int64(id))
	}
	return scope, nil
}

// SearchPage is a page of the user ids that a search found.
type SearchPage struct {
	UserIDs []string
	Total   int
	HasMore bool
}

// Search returns a page of those whose name is exactly the word: size 1 to MaxSearchPage, offset from 0. It is the one
// question here that counts towards the organisation's monthly quota (A).
func (c *Client) Search(ctx context.Context, name string, offset, size int) (SearchPage, error) {
	if err := checkPage(opSearch, offset, size, MaxSearchPage); err != nil {
		return SearchPage{}, err
	}
	body, err := json.Marshal(map[string]any{"queryWord": name, "offset": offset, "size": size, "fullMatchField": 1})
	if err != nil {
		return SearchPage{}, fmt.Errorf("%s: %w: %w", opSearch, ErrNotSent, err)
	}
	var page struct {
		HasMore flexBool         `json:"hasMore"`
		Total   flexInt          `json:"totalCount"`
		List    flexList[string] `json:"list"`
	}
	if err := c.ask(ctx, question{op: opSearch, body: body}, &page); err != nil {
		return SearchPage{}, err
	}
	return SearchPage{UserIDs: page.List, Total: int(page.Total), HasMore: bool(page.HasMore)}, nil
}

// Leaver is somebody who left.
type Leaver struct {
	UserID, Name string
	// Mobile is the number they had, without a country code for the mainland.
	Mobile string
	At     time.Time
}

// LeaversPage is a page of leavers; Next is the token of the next page, "" at the end.
type LeaversPage struct {
	Leavers []Leaver
	Next    string
}

// Leavers returns a page of those who left between two times, at most MaxLeaversSpan apart: size 1 to MaxLeaversPage, the
// first token is "". It is the only way from a mobile number to the user id of somebody who left (A).
func (c *Client) Leavers(ctx context.Context, from, to time.Time, next string, size int) (LeaversPage, error) {
	if to.Sub(from) > MaxLeaversSpan || to.Before(from) || size < 1 || size > MaxLeaversPage {
		return LeaversPage{}, fmt.Errorf("%s: %w: %d records of %v; at most %d of %v fit one page", opLeavers, ErrNotSent, size, to.Sub(from),
			MaxLeaversPage, MaxLeaversSpan)
	}
	if next == "" {
		next = "0"
	}
	var page struct {
		Next    string `json:"nextToken"`
		Records flexList[struct {
			UserID    string    `json:"userId"`
			Name      string    `json:"name"`
			StateCode string    `json:"stateCode"`
			Mobile    string    `json:"mobile"`
			LeaveTime time.Time `json:"leaveTime"`
		}] `json:"records"`
	}
	if err := c.ask(ctx, question{op: opLeavers, query: url.Values{"startTime": {from.UTC().Format(time.RFC3339)},
		"endTime": {to.UTC().Format(time.RFC3339)}, "nextToken": {next}, "maxResults": {strconv.Itoa(size)}}}, &page); err != nil {
		return LeaversPage{}, err
	}
	list := LeaversPage{}
	if len(page.Records) > 0 && page.Next != next {
		list.Next = page.Next
	}
	for _, r := range page.Records {
		mobile := r.Mobile
		if r.StateCode != "" && r.StateCode != "86" {
			mobile = "+" + r.StateCode + "-" + mobile
		}
		list.Leavers = append(list.Leavers, Leaver{UserID: r.UserID, Name: r.Name, Mobile: mobile, At: r.LeaveTime})
	}
	return list, nil
}

// ask makes a call of the new host and decodes the whole answer.
func (c *Client) ask(ctx context.Context, q question, result any) error {
	fields, err := c.call(ctx, q)
	if err != nil {
		return err
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("%s: %w", q.op, err)
	}
	return into(q.op, whole, "", result)
}
