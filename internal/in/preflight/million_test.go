package preflight_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/in/preflight"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// crowd is an organisation of 100,000 people, each of whom holds 10 of 400 roles.
type crowd struct {
	directory.Source
	holders [400][]dingtalk.Person
}

func (c *crowd) ListRoles(_ context.Context, offset, size int) (dingtalk.RolesPage, error) {
	page := dingtalk.RolesPage{Groups: 1}
	for i := offset; i < len(c.holders); i++ {
		page.Roles = append(page.Roles, dingtalk.Role{ID: int64(1000 + i), Name: fmt.Sprint(i), Group: "g"})
	}
	return page, nil
}

func (c *crowd) RoleHolders(_ context.Context, roleID int64, offset, size int) (dingtalk.HoldersPage, error) {
	all := c.holders[roleID-1000]
	end := min(offset+size, len(all))
	return dingtalk.HoldersPage{Holders: all[offset:end], NextOffset: end, HasMore: end < len(all)}, nil
}

func (c *crowd) Admins(context.Context) ([]string, error) { return nil, nil }

// BenchmarkAMillionPairs is the preflight of a million pairs; peak-MB is the memory of the process at its end, the
// organisation's own and that of the list included.
func BenchmarkAMillionPairs(b *testing.B) {
	c := &crowd{}
	kept := &lists.Kept{}
	for i := range 100_000 {
		id := fmt.Sprintf("2055365261%07d", i)
		row := lists.Row{Line: i + 2, People: []lists.Person{{By: lists.UserID, Text: id}}}
		for r := range 10 {
			role := (i*7 + r*41) % 400
			c.holders[role] = append(c.holders[role], dingtalk.Person{UserID: id, Name: "员工"})
			row.Roles = append(row.Roles, lists.Role{ID: int64(1000 + role)})
		}
		kept.Add(row)
	}
	for b.Loop() {
		d, err := directory.New(c, 1e9)
		if err != nil {
			b.Fatal(err)
		}
		seen, err := preflight.Run(b.Context(), d, preflight.Request{Rows: kept.All()})
		if err != nil || seen.Removals.Pairs() != 1_000_000 {
			b.Fatal(err, seen.Removals.Pairs())
		}
		b.ReportMetric(float64(seen.Lookups), "lookups")
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/1e6, "peak-MB")
}
