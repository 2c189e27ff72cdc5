package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unrole/unrole/internal/base/wait"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/record/index"
)

// With has staff numbers and addresses looked up in an index, which is read anew where it does not know them: nil has the directory
// read by each Directory for itself.
func (d *Directory) With(x *index.Index) *Directory {
	d.index = x
	return d
}

// bySign finds people by what no call finds. What was read of everybody is a hint, which one exact reading of each confirms; whom it
// does not name any more, or not at all, only the whole directory can tell, which is read for that once.
func (d *Directory) bySign(ctx context.Context, sign index.Sign) (Found, error) {
	if d.index != nil && d.paces.left.Err() == nil {
		found, err := d.byIndex(ctx, sign)
		var refused *dingtalk.Error
		if err == nil || !d.paces.optional || ctx.Err() != nil || errors.As(err, &refused) {
			return found, err
		}
	}
	all, err := d.everybody.get(func() (map[index.Sign][]string, error) {
		all := map[index.Sign][]string{}
		return all, d.eachPerson(ctx, func(userID string, signs ...index.Sign) error {
			for _, s := range signs {
				all[s] = append(all[s], userID)
			}
			return nil
		})
	})
	if err != nil {
		return Found{}, err
	}
	found, _, err := d.confirmed(ctx, sign, all[sign])
	return found, err
}

// byIndex is bySign by what the fleet has read.
func (d *Directory) byIndex(ctx context.Context, sign index.Sign) (Found, error) {
	ids, known, err := d.index.Find(ctx, sign)
	if err != nil {
		return Found{}, err
	}
	if known && len(ids) > 0 {
		if found, all, err := d.confirmed(ctx, sign, ids); err != nil || all {
			return found, err
		}
	}
	if _, err = d.renewed.get(func() (struct{}, error) { return struct{}{}, d.index.Renew(ctx, d.born, d.eachPerson) }); err != nil {
		return Found{}, err
	}
	if ids, known, err = d.index.Find(ctx, sign); err == nil && !known {
		err = errors.New("what was read of the directory is gone from Redis again")
	}
	if err != nil {
		return Found{}, err
	}
	found, _, err := d.confirmed(ctx, sign, ids)
	return found, err
}

// confirmed looks at each of those who had a sign: of whom it is not true any more is left out. all says that it was shown of each.
// Their roles come with it, so that nobody is taken who has left since.
func (d *Directory) confirmed(ctx context.Context, sign index.Sign, ids []string) (found Found, all bool, err error) {
	all = true
	for _, id := range slices.Sorted(slices.Values(ids)) {
		one, err := d.byID(ctx, id)
		if err != nil {
			return Found{}, false, err
		}
		all = all && len(one.Users) == 1
		found.Left = append(found.Left, one.Left...)
		for _, u := range one.Users {
			has := slices.Contains(signsOf(u), sign)
			all = all && has
			if has || !shows(u, sign.Kind) {
				found.Users = append(found.Users, u)
			}
		}
	}
	return found, all, nil
}

// signsOf are the signs of somebody that no call finds.
func signsOf(u dingtalk.User) (signs []index.Sign) {
	if u.JobNumber != "" {
		signs = append(signs, index.Sign{Kind: index.JobNumber, Text: u.JobNumber})
	}
	own, work := strings.ToLower(u.Email), strings.ToLower(u.OrgEmail)
	if own != "" {
		signs = append(signs, index.Sign{Kind: index.Email, Text: own})
	}
	if work != "" && work != own {
		signs = append(signs, index.Sign{Kind: index.Email, Text: work})
	}
	return signs
}

// shows reports whether anything of a kind is to be seen of somebody; the app may lack the permission.
func shows(u dingtalk.User, kind index.SignKind) bool {
	return slices.ContainsFunc(signsOf(u), func(s index.Sign) bool { return s.Kind == kind })
}

// departmentsAtOnce is how many departments are read side by side: enough for the pace of an API whose answers take 3 s.
const departmentsAtOnce = 64

// eachPerson reads the whole directory, every department and its direct members, and hands take each person once, one at a time.
func (d *Directory) eachPerson(ctx context.Context, take func(userID string, signs ...index.Sign) error) error {
	mu := wait.NewLock()      // take writes to Redis
	seen := map[string]bool{} // somebody in two departments comes twice
	visited := map[int64]bool{dingtalk.RootDepartment: true}
	for level := []int64{dingtalk.RootDepartment}; len(level) > 0; {
		var below []int64
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(departmentsAtOnce)
		for _, id := range level {
			group.Go(func() error {
				departments, err := ask(ctx, d, "v2/department/listsub", func() ([]dingtalk.Department, error) { return d.source.Departments(ctx, id) })
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				for _, sub := range departments {
					d.named(sub)
					if !visited[sub.ID] {
						visited[sub.ID] = true
						below = append(below, sub.ID)
					}
				}
				return nil
			})
			group.Go(func() error {
				return d.members(ctx, id, func(u dingtalk.User) error {
					mu.Lock()
					defer mu.Unlock()
					if seen[u.UserID] {
						return nil
					}
					seen[u.UserID] = true
					return take(u.UserID, signsOf(u)...)
				})
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		level = below
	}
	return nil
}

// members goes through the direct members of a department.
func (d *Directory) members(ctx context.Context, department int64, take func(dingtalk.User) error) error {
	cursor := int64(0)
	return pages(func() (bool, error) {
		page, err := ask(ctx, d, "v2/user/list", func() (dingtalk.MembersPage, error) {
			return d.source.Members(ctx, department, cursor, dingtalk.MaxMembersPage)
		})
		for _, user := range page.Users {
			if err := take(user); err != nil {
				return false, err
			}
		}
		cursor = page.Next
		return page.HasMore, err
	})
}

// betweenLooks is how often who keeps the index looks whether it has to be read again; after a failure later and later.
var betweenLooks = wait.Backoff{First: 5 * time.Second, Most: time.Minute}

// KeepIndex has the directory read again in time for as long as somebody asks for staff numbers or addresses, until ctx ends: by the one
// process of the fleet of which mine says that it is the one. failed is told why that could not be done; it is tried again.
func (d *Directory) KeepIndex(ctx context.Context, mine func() bool, failed func(error)) {
	if d.index == nil {
		return
	}
	for failures := 0; wait.For(ctx, betweenLooks.After(failures)) == nil; {
		if !mine() {
			continue
		}
		err := d.index.Keep(ctx, d.Fresh().eachPerson)
		if failures++; err == nil {
			failures = 0
		} else if ctx.Err() == nil {
			failed(err)
		}
	}
}
