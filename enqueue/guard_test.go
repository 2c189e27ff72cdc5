package enqueue

import (
	"errors"
	"fmt"
	"testing"

	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
)

func TestGuardCountsDistinctUsers(t *testing.T) {
	r, err := FromLists([]string{"a", "b", "a", "c"}, []int64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := Guard(r, 3); err != nil {
		t.Errorf("3 users of at most 3: %v", err)
	}
	var guard *GuardError
	if err := Guard(r, 2); !errors.As(err, &guard) || guard.Users != 3 || guard.Max != 2 {
		t.Errorf("3 users of at most 2: %v", err)
	}
}

func TestProtectedIDsAreNamedAndCounted(t *testing.T) {
	var users []string
	for i := range 12 {
		users = append(users, fmt.Sprintf("boss%d", i))
	}
	r, err := FromLists(append(users, "a"), []int64{7, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ users, roles, want string }{
		{"other,B", "3", ""},
		{"A", "", "1 protected user (a) would be touched: take them out of the input"},
		{"boss1", "", "1 protected user (boss1) would be touched: take them out of the input"},
		{"", "1,2", "2 protected roles (1, 2) would be touched: take them out of the input"},
		{"boss0,boss1,boss2,boss3,boss4,boss5,boss6,boss7,boss8,boss9,boss10,boss11", "7",
			"12 protected users (boss0, boss1, boss2, boss3, boss4, boss5, boss6, boss7, boss8, boss9, …) and 1 protected role (7) would be touched: take them out of the input"},
	}
	for _, tt := range tests {
		set, err := protect.Parse(tt.users, tt.roles)
		if err != nil {
			t.Fatal(err)
		}
		err = r.CheckProtected(set)
		var protected *ProtectedError
		switch {
		case tt.want == "" && err == nil:
		case !errors.As(err, &protected) || err.Error() != tt.want:
			t.Errorf("protected %s; %s: %v, want %q", tt.users, tt.roles, err, tt.want)
		}
	}
}

// Other modules match these errors, and the catalogue of texts is nothing that they can name: it finds the text by Unwrap.
func TestRefusalsAreSaidInTheLanguageOfTheReaderHoweverTheyAreWrapped(t *testing.T) {
	for said, err := range map[string]error{
		"job j: 涉及 1,234 名员工，超过无需确认的上限 500 名": &GuardError{Users: 1234, Max: 500},
		"job j: 任务 a 已结束（已完成），没有可取消的内容":       &FinishedError{Job: Job{JobID: "a", State: StateCompleted}},
		"job j: 任务 a 不需要审批（已预约）":              &ledger.NotAwaitingError{Job: Job{JobID: "a", State: StateScheduled}},
		"job j: 任务 a 尚未结束（进行中）：未清除其任何内容":      &ledger.UnfinishedError{Job: Job{JobID: "a", State: StateRunning}},
	} {
		if got := texts.Say(texts.Chinese, fmt.Errorf("job j: %w", err)); got != said {
			t.Errorf("%q is said as %q, not %q", err, got, said)
		}
	}
}
