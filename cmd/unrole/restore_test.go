package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/tasks"
)

// A company of four, with one who is gone and one whose scope is too wide to be given back.
func companyOfFour(t *testing.T) (*simulator.Simulator, map[string]string, string) {
	t.Helper()
	sim := simulator.New(simulator.Options{QPS: 1000, KeepCalls: -1, GoneUsers: []string{"gone"}})
	for _, user := range []string{"00117", "w.chen", "wide", "gone"} {
		sim.Grant(user, 1507113578)
	}
	sim.Grant("w.chen", 1507113579)
	sim.SetScope("w.chen", 1507113578, 11, 12)
	wide := make([]int64, tasks.MaxDepartments+1)
	for i := range wide {
		wide[i] = int64(100 + i)
	}
	sim.SetScope("wide", 1507113578, wide...)
	for id := int64(11); id <= 12; id++ {
		sim.AddDepartment(simulator.Department{ID: id})
	}
	dingTalk := httptest.NewServer(sim)
	t.Cleanup(dingTalk.Close)
	dir := t.TempDir()
	list := filepath.Join(dir, "list.csv")
	text := "员工UserID,role_ids,部门\n00117,1507113578;1507113579,财务\nw.chen,1507113578;1507113579,财务\nwide,1507113578,\ngone,1507113578,\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return sim, map[string]string{"DINGTALK_BASE_URL": dingTalk.URL, "DINGTALK_APP_KEY": simulator.AppKey, "DINGTALK_APP_SECRET": simulator.AppSecret, "UNROLE_QPS": "1000"}, list
}

// held is who holds what, with the departments.
func held(sim *simulator.Simulator) map[string][]int64 {
	all := map[string][]int64{}
	for _, role := range sim.RoleIDs() {
		for _, user := range sim.Holders(role) {
			all[user+"/"+string(rune('0'+role%10))] = sim.Scope(user, role)
		}
	}
	return all
}

func TestTheReportOfARunIsEnoughToUndoIt(t *testing.T) {
	for _, form := range []string{".csv", ".xlsx", ".json"} {
		t.Run(form, func(t *testing.T) {
			sim, env, list := companyOfFour(t)
			before := held(sim)
			dir := filepath.Dir(list)
			report, result := filepath.Join(dir, "removed"+form), filepath.Join(dir, "restored.csv")
			a, _, stderr := testApp("", false, env)
			if code := a.main(t.Context(), []string{"run", list, "--preflight", "--report", report}); code != exitDeadLetters {
				t.Fatalf("run: exit %d, %s", code, stderr)
			}
			if after := held(sim); len(after) != 1 {
				t.Fatalf("still held: %v", after)
			}
			a, stdout, stderr := testApp("", false, env)
			code := a.main(t.Context(), []string{"restore", "--report", report, "--result", result, "--why", "wrong list", "--verify"})
			if code != exitDone {
				t.Fatalf("restore: exit %d, %s", code, stderr)
			}
			for _, said := range []string{"3 pairs of 2 users and 2 roles will be given back, in 3 calls",
				"not given back: wide/1507113578, whose management scope has 51 departments", "4 of its rows are taken (removed 4)"} {
				if !strings.Contains(stderr.String(), said) {
					t.Errorf("did not say %q: %s", said, stderr)
				}
			}
			if !strings.Contains(stdout.String(), "given back  3 pairs") || !strings.Contains(stdout.String(), "3 (3 planned)") || !strings.Contains(strings.Join(strings.Fields(stdout.String()), " "), "held 3 pairs not held 0 pairs") {
				t.Errorf("summary: %s", stdout)
			}
			delete(before, "wide/8")
			if diff := cmp.Diff(before, held(sim)); diff != "" {
				t.Errorf("differs from before: %s", diff)
			}
			text, err := os.ReadFile(result)
			if err != nil || strings.Count(string(text), ",restored,") != 3 || !strings.Contains(string(text), ",11;12,") || !strings.Contains(string(text), "财务") {
				t.Errorf("%v: %s", err, text)
			}
			// What gave back is no removal.
			a, _, stderr = testApp("", false, env)
			if code := a.main(t.Context(), []string{"restore", "--report", result}); code != exitUsage || !strings.Contains(stderr.String(), "gave roles back") {
				t.Errorf("exit %d, %s", code, stderr)
			}
		})
	}
}

func TestARestoreByAReportAsksFirst(t *testing.T) {
	sim, env, list := companyOfFour(t)
	report := filepath.Join(filepath.Dir(list), "removed.csv")
	a, _, stderr := testApp("", false, env)
	if code := a.main(t.Context(), []string{"run", list, "--preflight=false", "--report", report}); code != exitDeadLetters {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	for name, c := range map[string]struct {
		typed string
		args  []string
		env   map[string]string
		want  exitCode
		said  string
	}{
		"nobody looked before":        {"y\n", nil, nil, exitUsage, "the report does not say who held the roles before"},
		"no":                          {"n\n", []string{"--from-removed"}, nil, exitGuard, "some of them may be given to people who did not"},
		"a stranger":                  {"y\n", []string{"--from-removed", "--user", "gone,nobody"}, nil, exitUsage, "nothing was taken from user gone"},
		"somebody protected":          {"y\n", []string{"--from-removed"}, map[string]string{"UNROLE_PROTECTED_USERS": "w.chen"}, exitUsage, "w.chen"},
		"no report":                   {"y\n", []string{"--report", list}, nil, exitUsage, "this is no report of unrole"},
		"a result that is the report": {"y\n", []string{"--result", report}, nil, exitUsage, "is the list itself"},
		"no credentials":              {"y\n", []string{"--from-removed"}, map[string]string{"DINGTALK_APP_SECRET": ""}, exitCredentials, "DINGTALK_APP_SECRET"},
		"a simulation":                {"", []string{"--from-removed", "--simulate"}, map[string]string{"DINGTALK_APP_SECRET": ""}, exitDone, "no role is given to anybody"},
	} {
		t.Run(name, func(t *testing.T) {
			a, stdout, stderr := testApp(c.typed, true, nil)
			a.getenv = func(name string) string {
				if value, given := c.env[name]; given {
					return value
				}
				return env[name]
			}
			code := a.main(t.Context(), slices.Concat([]string{"restore", "--report", report}, c.args))
			if said := stderr.String() + stdout.String(); code != c.want || !strings.Contains(said, c.said) {
				t.Errorf("exit %d: %s", code, said)
			}
			if after := held(sim); len(after) != 1 {
				t.Errorf("given back: %v", after)
			}
		})
	}
}
