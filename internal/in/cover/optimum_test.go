package cover_test

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/unrole/unrole/internal/in/cover"
	"github.com/unrole/unrole/internal/in/cover/covertest"
)

// testdata/optima.txt is written by bench/cover, which proves the optima with an integer program. Companies of more
// pairs than checkedPairs are left to that command, to keep the test quick.
const checkedPairs = 530

func TestPlanIsNearTheProvenOptimum(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/optima.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	optima := map[string]int{}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		name, value, _ := strings.Cut(scanner.Text(), " ")
		if optima[name], err = strconv.Atoi(value); err != nil {
			t.Fatal(err)
		}
	}
	checked := 0
	for _, c := range covertest.Companies() {
		optimum, known := optima[c.Name]
		pairs := 0
		for _, roles := range c.Matrix.Roles {
			pairs += len(roles)
		}
		if !known || pairs > checkedPairs {
			continue
		}
		checked++
		plan := len(cover.Plan(c.Matrix, covertest.Limits))
		if plan < optimum {
			t.Errorf("%s: %d calls, fewer than the optimum %d: the optimum is wrong", c.Name, plan, optimum)
		}
		if float64(plan) > 1.03*float64(optimum) {
			t.Errorf("%s: %d calls, the optimum is %d", c.Name, plan, optimum)
		}
	}
	if checked < 16 {
		t.Errorf("only %d companies of known optimum were checked", checked)
	}
}

func TestPlanOfTwoThousandUsers(t *testing.T) {
	t.Parallel()
	if plan := len(cover.Plan(covertest.Large(2_000).Draw(1), covertest.Limits)); plan >= 123 {
		t.Errorf("%d calls, want fewer than 123", plan)
	}
}

func TestPlanOfManyUsers(t *testing.T) {
	t.Parallel()
	m := covertest.Large(20_000).Draw(1)
	simple := min(cover.OnePerUser(m, covertest.Limits), cover.OnePerRoleSet(m, covertest.Limits), cover.OnePerRole(m, covertest.Limits))
	if ratio := float64(len(cover.Plan(m, covertest.Limits))) / float64(simple); ratio > 0.295 {
		t.Errorf("%.3f of the best simple way, want at most 0.295", ratio)
	}
}
