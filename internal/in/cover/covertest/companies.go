// Package covertest draws the companies that the planner is measured on.
package covertest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
)

// Limits are those of one DingTalk call.
var Limits = pairs.Size{Users: 100, Roles: 20}

// Templates describes a company whose users each have the roles of a department and of a title, and with probability
// Extra one more role that is theirs alone. The role sets of departments and titles are drawn from all Roles.
type Templates struct {
	Users, Roles               int
	Departments, PerDepartment int
	Titles, PerTitle           int
	Extra                      float64
}

// Draw gives the same company for the same seed.
func (t Templates) Draw(seed uint64) cover.Matrix {
	rng := rand.New(rand.NewPCG(seed, 1))
	sets := func(n, k int) [][]pairs.Role {
		all := make([][]pairs.Role, n)
		for i := range all {
			for _, r := range rng.Perm(t.Roles)[:k] {
				all[i] = append(all[i], pairs.Role(r))
			}
		}
		return all
	}
	departments, titles := sets(t.Departments, t.PerDepartment), sets(t.Titles, t.PerTitle)
	m := cover.Matrix{NumRoles: t.Roles}
	for range t.Users {
		roles := slices.Concat(departments[rng.IntN(t.Departments)], titles[rng.IntN(t.Titles)])
		if rng.Float64() < t.Extra {
			roles = append(roles, pairs.Role(rng.IntN(t.Roles)))
		}
		slices.Sort(roles)
		m.Roles = append(m.Roles, slices.Compact(roles))
	}
	return m
}

// Random draws a company where each user has each role with probability p.
func Random(seed uint64, users, roles int, p float64) cover.Matrix {
	rng := rand.New(rand.NewPCG(seed, 2))
	m := cover.Matrix{NumRoles: roles}
	for range users {
		var set []pairs.Role
		for r := range roles {
			if rng.Float64() < p {
				set = append(set, pairs.Role(r))
			}
		}
		m.Roles = append(m.Roles, set)
	}
	return m
}

// Large is the kind of company of the large measurements: 80 roles, 20 departments, 10 titles, every third user with
// an extra role.
func Large(users int) Templates {
	return Templates{users, 80, 20, 3, 10, 2, 1.0 / 3}
}

// Company is one named instance.
type Company struct {
	Name   string
	Matrix cover.Matrix
}

// Companies lists the small and middling companies whose optimum is known or bounded.
func Companies() []Company {
	var all []Company
	add := func(kind string, m cover.Matrix, seed uint64) {
		all = append(all, Company{fmt.Sprintf("%s-%dx%d-%d", kind, len(m.Roles), m.NumRoles, seed), m})
	}
	for _, t := range []Templates{
		{60, 12, 4, 3, 3, 2, .15}, {60, 20, 6, 3, 4, 2, .15}, {80, 24, 6, 4, 5, 3, .15}, {100, 30, 10, 3, 6, 2, .15},
		{150, 24, 8, 4, 5, 2, .15}, {200, 30, 8, 3, 6, 2, .15}, {250, 20, 5, 3, 4, 2, .15}, {300, 40, 12, 4, 6, 3, .15},
		{400, 40, 10, 3, 8, 2, .15}, {500, 40, 12, 3, 8, 2, .15}, {500, 24, 6, 4, 5, 2, .15}, {500, 40, 15, 5, 10, 3, .15},
	} {
		for seed := range uint64(3) {
			kind := "templates"
			if t.PerDepartment > 4 {
				kind = "broad"
			}
			add(kind, t.Draw(seed), seed)
		}
	}
	for seed := range uint64(2) {
		add("random", Random(seed, 60, 12, .3), seed)
		add("random", Random(seed, 100, 30, .12), seed)
		add("random", Random(seed, 200, 20, .2), seed)
		add("random", Random(seed, 300, 40, .08), seed)
		add("random", Random(seed, 500, 40, .05), seed)
		add("dense", Random(seed, 60, 12, .7), seed)
		add("dense", Random(seed, 80, 14, .6), seed)
		add("near-full", Random(seed, 60, 12, .9), seed)
		add("dense", Random(seed, 150, 12, .8), seed)
	}
	return all
}
