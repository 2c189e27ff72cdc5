package main

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
)

// series shows that the cost of planning grows no faster than n·log n.
func series() {
	fmt.Printf("%8s %8s %8s %9s %10s %6s %6s %6s\n", "users", "pairs", "seconds", "ns/nlogn", "allocated", "plan", "simple", "ratio")
	for _, users := range []int{2_000, 6_000, 20_000, 60_000, 200_000} {
		m := covertest.Large(users).Draw(1)
		pairs := 0
		for _, roles := range m.Roles {
			pairs += len(roles)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		begin := time.Now()
		plan := len(cover.Plan(m, covertest.Limits))
		took := time.Since(begin)
		runtime.ReadMemStats(&after)
		simple := min(cover.OnePerUser(m, covertest.Limits), cover.OnePerRoleSet(m, covertest.Limits), cover.OnePerRole(m, covertest.Limits))
		n := float64(pairs)
		fmt.Printf("%8d %8d %8.2f %9.2f %6d MiB %6d %6d %6.3f\n", users, pairs, took.Seconds(),
			float64(took.Nanoseconds())/(n*math.Log2(n)), (after.TotalAlloc-before.TotalAlloc)>>20, plan, simple, float64(plan)/float64(simple))
	}
}
