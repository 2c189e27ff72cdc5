package main

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/in/cover"
)

// errTooMany is returned when the integer program would be too large to be worth trying.
var errTooMany = errors.New("too many closed role sets")

// lowerBound proves that no plan has fewer calls than it returns. It hands an integer program to cbc
// (Debian: coinor-cbc), which stops after limit with the bound proven so far.
//
// Any call can be widened to all the roles its users have in common, so that only closed role sets matter:
// intersections of users' role sets. y[R] is the number of calls with role set R, x[c,R] how many of the users with
// role set c they serve:
//
//	min Σ y[R]
//	Σ over R with r in R, R within c, of x[c,R]  ≥  n[c]        for each class c and role r of it
//	x[c,R] ≤ n[c]·y[R],  Σ over c of x[c,R] ≤ 100·y[R]
//
// A role set that at most 100 users have needs one call at most and no x. The program is a relaxation (it does not
// say which users of a class a call serves), hence a lower bound; it is exact where our plan reaches it, and where
// every role set has at most 100 users. exact tells the latter, if cbc finished.
func lowerBound(m cover.Matrix, lim pairs.Size, most int, limit time.Duration) (bound int, exact bool, err error) {
	weight := map[uint64]int{}
	for u, roles := range m.Roles {
		var c uint64
		for _, r := range roles {
			c |= 1 << r
		}
		if len(roles) > lim.Roles || m.NumRoles > 64 {
			return 0, false, fmt.Errorf("user %d: the bound is made for at most %d roles a user and 64 in all", u, lim.Roles)
		}
		if c != 0 {
			weight[c]++
		}
	}
	classes := slices.Sorted(maps.Keys(weight))
	closed := map[uint64]bool{}
	for _, c := range classes {
		for _, d := range slices.Collect(maps.Keys(closed)) {
			if c&d != 0 {
				closed[c&d] = true
			}
		}
		closed[c] = true
		if len(closed) > most {
			return 0, false, errTooMany
		}
	}
	sets := slices.Sorted(maps.Keys(closed))

	dir, err := os.MkdirTemp("", "cover")
	if err != nil {
		return 0, false, err
	}
	defer os.RemoveAll(dir)
	file, err := os.Create(filepath.Join(dir, "p.lp"))
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "Minimize\nobj:")
	holders := make([]int, len(sets))
	for i, set := range sets {
		fmt.Fprintf(w, " + y%d\n", i)
		for _, c := range classes {
			if set&^c == 0 {
				holders[i] += weight[c]
			}
		}
	}
	fmt.Fprintln(w, "Subject To")
	for k, c := range classes {
		n := weight[c]
		for r := range m.NumRoles {
			if c>>r&1 == 0 {
				continue
			}
			for i, set := range sets {
				if set>>r&1 == 1 && set&^c == 0 {
					if holders[i] <= lim.Users {
						fmt.Fprintf(w, " + %d y%d\n", n, i)
					} else {
						fmt.Fprintf(w, " + x%d_%d\n", k, i)
					}
				}
			}
			fmt.Fprintf(w, " >= %d\n", n)
		}
	}
	for i, set := range sets {
		if holders[i] <= lim.Users {
			continue
		}
		for k, c := range classes {
			if set&^c == 0 {
				fmt.Fprintf(w, "x%d_%d - %d y%d <= 0\n", k, i, weight[c], i)
			}
		}
		for k, c := range classes {
			if set&^c == 0 {
				fmt.Fprintf(w, " + x%d_%d\n", k, i)
			}
		}
		fmt.Fprintf(w, " - %d y%d <= 0\n", lim.Users, i)
	}
	fmt.Fprintln(w, "Bounds")
	for i := range sets {
		if holders[i] <= lim.Users {
			fmt.Fprintf(w, "y%d <= 1\n", i)
		}
	}
	fmt.Fprintln(w, "Generals")
	for i := range sets {
		fmt.Fprintf(w, "y%d\n", i)
	}
	fmt.Fprintln(w, "End")
	if err := w.Flush(); err != nil {
		return 0, false, err
	}
	out, err := exec.Command("cbc", file.Name(), "-sec", strconv.Itoa(int(limit.Seconds())), "-solve").Output()
	if err != nil {
		return 0, false, fmt.Errorf("cbc (Debian package coinor-cbc): %w", err)
	}
	optimal := strings.Contains(string(out), "Result - Optimal solution found")
	value := 0.0
	for line := range strings.Lines(string(out)) {
		name, text, _ := strings.Cut(line, ":")
		v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			continue
		}
		if optimal && name == "Objective value" || !optimal && name == "Lower bound" {
			value = v
		}
	}
	return int(math.Ceil(value - 1e-6)), optimal && slices.Max(holders) <= lim.Users, nil
}
