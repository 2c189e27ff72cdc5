package lists

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// TestTheExampleIsWhatItsReadmeSays keeps examples/leavers.csv readable, and its refused ids in it.
func TestTheExampleIsWhatItsReadmeSays(t *testing.T) {
	f, err := os.Open("../../../examples/leavers.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, report, err := read(f, Options{Name: "leavers.csv"})
	if err != nil {
		t.Fatal(err)
	}
	if report.Rows != 300 || len(r.Users()) != 300 || r.Duplicates() != 0 {
		t.Errorf("%d users, %d duplicates, report %+v", len(r.Users()), r.Duplicates(), report)
	}
	text, err := os.ReadFile("../../../examples/leavers.simulator.json")
	if err != nil {
		t.Fatal(err)
	}
	var refused struct {
		GoneUsers    []string `json:"gone_users"`
		InvalidRoles []int64  `json:"invalid_roles"`
	}
	if err := json.Unmarshal(text, &refused); err != nil {
		t.Fatal(err)
	}
	if len(refused.GoneUsers) != 4 || len(refused.InvalidRoles) != 1 {
		t.Errorf("refused: %+v", refused)
	}
	for _, id := range refused.GoneUsers {
		if !slices.Contains(r.Users(), id) {
			t.Errorf("user %s is not in the example", id)
		}
	}
	for _, id := range refused.InvalidRoles {
		if !slices.Contains(r.Roles(), id) {
			t.Errorf("role %d is not in the example", id)
		}
	}
	t.Logf("%d pairs, %d roles", r.Pairs(), len(r.Roles()))
}
