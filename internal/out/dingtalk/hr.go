package dingtalk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What DingTalk's own HR (智能人事) knows of leavers. Both calls only read, and neither counts towards the monthly quota (A).
// Where HR is not open they are an *Error of ClassDisabled.

// Limits of one question (A).
const (
	MaxOnJobPage  = 50
	MaxDismissals = 50
)

// OnJobStatus is what HR says of somebody who works there (A).
type OnJobStatus int

const (
	OnJobNone      OnJobStatus = -1
	OnJobProbation OnJobStatus = 2
	OnJobRegular   OnJobStatus = 3
	OnJobLeaving   OnJobStatus = 5
)

// OnJobPage is a page of user ids; Next is the offset of the next page, if HasMore.
type OnJobPage struct {
	UserIDs []string
	Next    int
	HasMore bool
}

// OnJob returns a page of those who work there with one of the statuses: size 1 to MaxOnJobPage, offset from 0.
func (c *Client) OnJob(ctx context.Context, statuses []OnJobStatus, offset, size int) (OnJobPage, error) {
	if err := checkPage(opOnJob, offset, size, MaxOnJobPage); err != nil {
		return OnJobPage{}, err
	}
	texts := make([]string, len(statuses))
	for i, s := range statuses {
		texts[i] = strconv.Itoa(int(s))
	}
	form := pageForm(offset, size)
	form.Set("status_list", strings.Join(texts, ","))
	var result struct {
		List flexList[string] `json:"data_list"`
		Next *flexInt         `json:"next_cursor"` // there is none at the end (A)
	}
	if err := c.read(ctx, opOnJob, form, &result); err != nil {
		return OnJobPage{}, err
	}
	page := OnJobPage{UserIDs: result.List}
	if result.Next != nil && int(*result.Next) > offset && len(result.List) > 0 {
		page.Next, page.HasMore = int(*result.Next), true
	}
	return page, nil
}

// DismissalStatus is how far somebody's departure is (A).
type DismissalStatus int

const (
	DismissalLeaving   DismissalStatus = 1
	DismissalLeft      DismissalStatus = 2
	DismissalNone      DismissalStatus = 3
	DismissalUndecided DismissalStatus = 4
)

// Dismissal is what HR knows of somebody's departure.
type Dismissal struct {
	UserID string
	Status DismissalStatus
	// LastDay is some moment of the last working day; zero where HR has none.
	LastDay time.Time
	// Departments are those of before the departure, each with its path as Name.
	Departments []Department
}

// Dismissals asks about 1 to MaxDismissals people at once. Of whom HR knows nothing there is none.
func (c *Client) Dismissals(ctx context.Context, userIDs []string) ([]Dismissal, error) {
	if len(userIDs) < 1 || len(userIDs) > MaxDismissals {
		return nil, fmt.Errorf("%s: %w: %d people; 1 to %d fit one question", opDismissals, ErrNotSent, len(userIDs), MaxDismissals)
	}
	list, err := json.Marshal(userIDs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", opDismissals, ErrNotSent, err)
	}
	var answer struct {
		Result flexList[struct {
			UserID      string  `json:"userId"`
			Status      flexInt `json:"status"`
			LastWorkDay flexInt `json:"lastWorkDay"`
			Departments flexList[struct {
				ID   flexInt `json:"dept_id"`
				Path string  `json:"dept_path"`
			}] `json:"deptList"`
			MainID   flexInt `json:"mainDeptId"`
			MainName string  `json:"mainDeptName"`
		}] `json:"result"`
	}
	if err := c.ask(ctx, question{op: opDismissals, query: url.Values{"userIdList": {string(list)}}}, &answer); err != nil {
		return nil, err
	}
	dismissals := make([]Dismissal, len(answer.Result))
	for i, r := range answer.Result {
		d := Dismissal{UserID: r.UserID, Status: DismissalStatus(r.Status)}
		if r.LastWorkDay > 0 {
			d.LastDay = time.UnixMilli(int64(r.LastWorkDay))
		}
		for _, dept := range r.Departments {
			d.Departments = append(d.Departments, Department{ID: int64(dept.ID), Name: dept.Path})
		}
		if id := int64(r.MainID); id != 0 && !slices.ContainsFunc(d.Departments, func(d Department) bool { return d.ID == id }) {
			d.Departments = append(d.Departments, Department{ID: id, Name: r.MainName})
		}
		dismissals[i] = d
	}
	return dismissals, nil
}
