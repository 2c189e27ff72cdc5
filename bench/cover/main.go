// Command cover measures the planner against proven lower bounds and against the simple ways. It needs cbc, the
// integer programming solver, from the Debian package coinor-cbc:
//
//	go run ./bench/cover            # small and middling companies, with proven bounds
//	go run ./bench/cover -series    # 10,000 to 1,000,000 pairs: time, memory, calls; needs no solver
//	go run ./bench/cover -golden internal/in/cover/testdata/optima.txt
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
)

func main() {
	limit := flag.Duration("limit", time.Minute, "how long the solver may take for one company")
	most := flag.Int("sets", 6000, "role sets beyond which no bound is attempted")
	match := flag.String("match", "", "only companies whose name has this in it")
	golden := flag.String("golden", "", "write the proven optima to this file")
	solve := flag.Bool("solve", true, "prove bounds")
	large := flag.Bool("series", false, "measure the series of large companies instead")
	flag.Parse()
	if *large {
		series()
		return
	}
	if err := table(*match, *golden, *most, *limit, *solve); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// table prints a row for each company: no plan can have fewer calls than the column "at least" says, and where it says
// "optimum" there is one that has no more.
func table(match, golden string, most int, limit time.Duration, solve bool) error {
	fmt.Printf("%-24s %6s %6s %-8s %5s %6s %6s %9s %9s %8s\n", "company", "pairs", "at least", "", "plan", "ratio", "time", "per user", "role set", "per role")
	var lines strings.Builder
	bounds, plans := 0, 0
	for _, c := range covertest.Companies() {
		if !strings.Contains(c.Name, match) {
			continue
		}
		m := c.Matrix
		pairs := 0
		for _, roles := range m.Roles {
			pairs += len(roles)
		}
		begin := time.Now()
		plan := len(cover.Plan(m, covertest.Limits))
		took := time.Since(begin)
		bound, exact := 0, false
		if solve {
			var err error
			if bound, exact, err = lowerBound(m, covertest.Limits, most, limit); err != nil && err != errTooMany {
				return fmt.Errorf("%s: %w", c.Name, err)
			}
		}
		ratio, proof := "?", "bound"
		if bound > 0 {
			ratio = fmt.Sprintf("%.3f", float64(plan)/float64(bound))
			bounds += bound
			plans += plan
			if exact || plan == bound {
				proof = "optimum"
				fmt.Fprintf(&lines, "%s %d\n", c.Name, bound)
			}
		}
		fmt.Printf("%-24s %6d %6d %-8s %5d %6s %5.2fs %9d %9d %8d\n", c.Name, pairs, bound, proof, plan, ratio, took.Seconds(),
			cover.OnePerUser(m, covertest.Limits), cover.OnePerRoleSet(m, covertest.Limits), cover.OnePerRole(m, covertest.Limits))
	}
	if bounds > 0 {
		fmt.Printf("in all: bound %d, plans %d, ratio %.4f\n", bounds, plans, float64(plans)/float64(bounds))
	}
	if golden != "" {
		return os.WriteFile(golden, []byte(lines.String()), 0o644)
	}
	return nil
}
