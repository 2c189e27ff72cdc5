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
	// Scope are the departments that they manage by the role; none means everybody.
	Scope []int64
}

// HoldersPage is a page of the users who hold a role.
type HoldersPage struct {
	Holders []Person
	// NextOffset is where the next page begins, if HasMore.
	NextOffset int
	HasMore    bool
}

// ListRoles returns a page of the roles of the organisation, group by group: size 1 to 200, offset from 0. Errors are
// as RemoveRoles has them.
func (c *Client) ListRoles(ctx context.Context, offset, size int) (RolesPage, error) {
	if err := checkPage(opRoles, offset, size, MaxRolesPage); err != nil {
		return RolesPage{}, err
	}
	var result struct {
		HasMore flexBool `json:"hasMore"`
		List    flexList[struct {
			Name  string `json:"name"`
			Roles flexList[struct {
				ID   flexInt `json:"id"`
				Name string  `json:"name"`
			}] `json:"roles"`
		}] `json:"list"`
	}
	if err := c.read(ctx, opRoles, pageForm(offset, size), &result); err != nil {
		return RolesPage{}, err
	}
	page := RolesPage{Groups: len(result.List), HasMore: bool(result.HasMore)}
	for _, group := range result.List {
		for _, role := range group.Roles {
			page.Roles = append(page.Roles, Role{ID: int64(role.ID), Name: role.Name, Group: group.Name})
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
		HasMore    flexBool `json:"hasMore"`
		NextCursor flexInt  `json:"nextCursor"`
		List       flexList[struct {
			UserID       string `json:"userid"`
			Name         string `json:"name"`
			ManageScopes flexList[struct {
				DeptID flexInt `json:"dept_id"`
			}] `json:"manageScopes"`
		}] `json:"list"`
	}
	form := pageForm(offset, size)
	form.Set("role_id", strconv.FormatInt(roleID, 10))
	if err := c.read(ctx, opHolder, form, &result); err != nil {
		return HoldersPage{}, err
	}
	page := HoldersPage{HasMore: bool(result.HasMore), NextOffset: max(int(result.NextCursor), offset+len(result.List))}
	for _, p := range result.List {
		holder := Person{UserID: p.UserID, Name: p.Name}
		for _, scope := range p.ManageScopes {
			holder.Scope = append(holder.Scope, int64(scope.DeptID))
		}
		page.Holders = append(page.Holders, holder)
	}
	return page, nil
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

// read makes a call of the old host and decodes its result. A result that is not there, or empty in any way, leaves *result
// empty: nobody. One of another shape is no answer of DingTalk: busy.
func (c *Client) read(ctx context.Context, op string, form url.Values, result any) error {
	fields, err := c.call(ctx, question{op: op, form: form})
	if err != nil {
		return err
	}
	return into(op, fields["result"], readString(fields["request_id"]), result)
}

func into(op string, raw json.RawMessage, requestID string, result any) error {
	switch string(raw) {
	case "", "null", "{}", "[]", `""`:
		return nil
	}
	if json.Unmarshal(raw, result) == nil {
		return nil
	}
	return &Error{Class: ClassBusy, Op: op, HasErrCode: true, HTTPStatus: http.StatusOK, RequestID: tidy(requestID),
		Message: "an answer without a readable result"}
}
