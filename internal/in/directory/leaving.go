package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Leaving lists the user ids of those who are leaving, by DingTalk's own HR.
func (d *Directory) Leaving(ctx context.Context) ([]string, error) {
	return d.onJob(ctx, dingtalk.OnJobLeaving)
}

// Staying are the user ids of those who work there and are not leaving, by DingTalk's own HR. They are read once.
func (d *Directory) Staying(ctx context.Context) (map[string]bool, error) {
	return d.staying.get(func() (map[string]bool, error) {
		ids, err := d.onJob(ctx, dingtalk.OnJobProbation, dingtalk.OnJobRegular, dingtalk.OnJobNone)
		set := make(map[string]bool, len(ids))
		for _, id := range ids {
			set[id] = true
		}
		return set, err
	})
}

func (d *Directory) onJob(ctx context.Context, statuses ...dingtalk.OnJobStatus) ([]string, error) {
	var ids []string
	offset := 0
	err := pages(func() (bool, error) {
		page, err := ask(ctx, d, "hrm/employee/queryonjob", func() (dingtalk.OnJobPage, error) {
			return d.source.OnJob(ctx, statuses, offset, dingtalk.MaxOnJobPage)
		})
		ids = append(ids, page.UserIDs...)
		offset = page.Next
		return page.HasMore, err
	})
	return ids, err
}

// Dismissals is what HR knows of the departure of each of the users; of whom it knows nothing there is none.
func (d *Directory) Dismissals(ctx context.Context, userIDs []string) (map[string]dingtalk.Dismissal, error) {
	known := map[string]dingtalk.Dismissal{}
	for from := 0; from < len(userIDs); from += dingtalk.MaxDismissals {
		some := userIDs[from:min(from+dingtalk.MaxDismissals, len(userIDs))]
		list, err := ask(ctx, d, "hrm/employees/dimissionInfos", func() ([]dingtalk.Dismissal, error) { return d.source.Dismissals(ctx, some) })
		if err != nil {
			return nil, err
		}
		for _, one := range list {
			known[one.UserID] = one
		}
	}
	return known, nil
}

// Left lists those who left between two times, at most dingtalk.MaxLeaversSpan apart.
func (d *Directory) Left(ctx context.Context, from, to time.Time) ([]dingtalk.Leaver, error) {
	var all []dingtalk.Leaver
	next := ""
	err := pages(func() (bool, error) {
		page, err := ask(ctx, d, "contact/empLeaveRecords", func() (dingtalk.LeaversPage, error) {
			return d.source.Leavers(ctx, from, to, next, dingtalk.MaxLeaversPage)
		})
		all = append(all, page.Leavers...)
		next = page.Next
		return next != "", err
	})
	return all, err
}

// Presence is whether somebody is in the directory.
type Presence int

const (
	Absent Presence = iota
	Present
	// Hidden is out of the app's contact scope, or answered by a refusal of no known meaning: nobody can tell.
	Hidden
)

// Serving is somebody who is in the directory, and whether they are.
func (d *Directory) Serving(ctx context.Context, userID string) (dingtalk.User, Presence, error) {
	user, err := ask(ctx, d, "v2/user/get", func() (dingtalk.User, error) { return d.source.User(ctx, userID) })
	var failed *dingtalk.Error
	switch {
	case err == nil:
		return user, Present, nil
	case !errors.As(err, &failed):
	case failed.Class == dingtalk.ClassUserOutOfScope, failed.Class == dingtalk.ClassUnknown, failed.Class == dingtalk.ClassBadRequest:
		return dingtalk.User{}, Hidden, nil
	case failed.Class == dingtalk.ClassInvalidUser, failed.Class == dingtalk.ClassUserGone:
		return dingtalk.User{}, Absent, nil
	}
	return dingtalk.User{}, Absent, err
}

// mostLevels is more than any tree of departments has.
const mostLevels = 64

// Above is a department and all those above it but the root.
func (d *Directory) Above(ctx context.Context, id int64) ([]dingtalk.Department, error) {
	var path []dingtalk.Department
	for id > dingtalk.RootDepartment {
		if len(path) == mostLevels {
			return nil, fmt.Errorf("department %d has more than %d departments above it", path[0].ID, mostLevels)
		}
		department, err := d.department(ctx, id)
		if err != nil {
			return nil, err
		}
		path = append(path, department)
		id = department.Parent
	}
	return path, nil
}
