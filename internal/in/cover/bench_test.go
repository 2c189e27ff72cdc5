package cover_test

import (
	"testing"

	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
)

func benchmarkPlan(b *testing.B, m cover.Matrix) {
	simple := min(cover.OnePerUser(m, covertest.Limits), cover.OnePerRoleSet(m, covertest.Limits), cover.OnePerRole(m, covertest.Limits))
	calls := 0
	b.ReportAllocs()
	for b.Loop() {
		calls = len(cover.Plan(m, covertest.Limits))
	}
	b.ReportMetric(float64(calls), "calls")
	b.ReportMetric(float64(calls)/float64(simple), "of-best-simple")
}

func BenchmarkPlan100Users(b *testing.B) {
	benchmarkPlan(b, covertest.Templates{Users: 100, Roles: 30, Departments: 10, PerDepartment: 3, Titles: 6, PerTitle: 2, Extra: .15}.Draw(1))
}

func BenchmarkPlan2000Users(b *testing.B)   { benchmarkPlan(b, covertest.Large(2_000).Draw(1)) }
func BenchmarkPlan200000Users(b *testing.B) { benchmarkPlan(b, covertest.Large(200_000).Draw(1)) }
