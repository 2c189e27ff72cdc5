package dingtalk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/unrole/unrole/tasks"
)

// Limits of one page (A).
const (
	MaxRolesPage   = 200
	MaxHoldersPage = 100
)

// Role is a role as the directory lists it.
type Role struct {
	ID    int64
	Name  string
	Group string
}

// RolesPage is a page of the organisation's roles.
type RolesPage struct {
	Roles []Role
	// Groups is how many role groups the page holds; the next page begins at offset + Groups.
	Groups  int
	HasMore bool
}

// Person is a user as a list of holders names them.
type Person struct {
	UserID string
	Name   string
}

// HoldersPage is a page of the users who hold a role.
type HoldersPage struct {
	Holders []Person
	// NextOffset is where the next page begins, if HasMore.
	NextOffset int
	HasMore    bool
}

// User is what the directory knows of one user.
type User struct {
	UserID string
	Name   string
	Active bool
	Roles  []Role
}

// ListRoles returns a page of the roles of the organisation, group by group: size 1 to 200, offset from 0. Errors are
// as RemoveRoles has them.
func (c *Client) ListRoles(ctx context.Context, offset, size int) (RolesPage, error) {
	if err := checkPage(opRoles, offset, size, MaxRolesPage); err != nil {
		return RolesPage{}, err
	}
	var result struct {
		HasMore bool `json:"hasMore"`
		List    []struct {
			Name  string `json:"name"`
			Roles []struct {
				ID   int64  `json:"id"`
				Name string `json:"name"`
			} `json:"roles"`
		} `json:"list"`
	}
	if err := c.read(ctx, opRoles, pageForm(offset, size), &result); err != nil {
		return RolesPage{}, err
	}
	page := RolesPage{Groups: len(result.List), HasMore: result.HasMore}
	for _, group := range result.List {
		for _, role := range group.Roles {
			page.Roles = append(page.Roles, Role{ID: role.ID, Name: role.Name, Group: group.Name})
		}
	}
	return page, nil
}

// RoleHolders returns a page of the users who hold the role: size 1 to 100, offset from 0. Errors are as RemoveRoles
// has them.
func (c *Client) RoleHolders(ctx context.Context, roleID int64, offset, size int) (HoldersPage, error) {
	if err := tasks.ValidateRoleID(roleID); err != nil {
		return HoldersPage{}, fmt.Errorf("%s: %w: %w", opHolder, ErrNotSent, err)
	}
	if err := checkPage(opHolder, offset, size, MaxHoldersPage); err != nil {
		return HoldersPage{}, err
	}
	var result struct {
		HasMore    bool `json:"hasMore"`
		NextCursor int  `json:"nextCursor"`
		List       []struct {
			UserID string `json:"userid"`
			Name   string `json:"name"`
		} `json:"list"`
	}
	form := pageForm(offset, size)
	form.Set("role_id", strconv.FormatInt(roleID, 10))
	if err := c.read(ctx, opHolder, form, &result); err != nil {
		return HoldersPage{}, err
	}
	page := HoldersPage{HasMore: result.HasMore, NextOffset: max(result.NextCursor, offset+len(result.List))}
	for _, p := range result.List {
		page.Holders = append(page.Holders, Person{UserID: p.UserID, Name: p.Name})
	}
	return page, nil
}

// User returns what the directory knows of the user, with the roles they hold. Errors are as RemoveRoles has them.
func (c *Client) User(ctx context.Context, userID string) (User, error) {
	if err := tasks.ValidateUserID(userID); err != nil {
		return User{}, fmt.Errorf("%s: %w: %w", opUser, ErrNotSent, err)
	}
	var result struct {
		UserID   string `json:"userid"`
		Name     string `json:"name"`
		Active   bool   `json:"active"`
		RoleList []struct {
			ID        int64  `json:"id"`
			Name      string `json:"name"`
			GroupName string `json:"group_name"`
		} `json:"role_list"`
	}
	if err := c.read(ctx, opUser, url.Values{"userid": {userID}}, &result); err != nil {
		return User{}, err
	}
	user := User{UserID: result.UserID, Name: result.Name, Active: result.Active}
	for _, role := range result.RoleList {
		user.Roles = append(user.Roles, Role{ID: role.ID, Name: role.Name, Group: role.GroupName})
	}
	return user, nil
}

func checkPage(op string, offset, size, most int) error {
	if offset < 0 || size < 1 || size > most {
		return fmt.Errorf("%s: %w: offset %d and size %d, offset must not be negative and size be 1 to %d",
			op, ErrNotSent, offset, size, most)
	}
	return nil
}

func pageForm(offset, size int) url.Values {
	return url.Values{"offset": {strconv.Itoa(offset)}, "size": {strconv.Itoa(size)}}
}

// read makes a call and decodes its result. A result of another shape is no answer of DingTalk: busy.
func (c *Client) read(ctx context.Context, op string, form url.Values, result any) error {
	fields, err := c.call(ctx, op, form)
	if err != nil {
		return err
	}
	raw := fields["result"]
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, result) != nil {
		return &Error{Class: ClassBusy, Op: op, HasErrCode: true, HTTPStatus: http.StatusOK,
			RequestID: tidy(readString(fields["request_id"])), Message: "an answer without a readable result"}
	}
	return nil
}
