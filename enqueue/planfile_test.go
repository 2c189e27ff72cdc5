package enqueue

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/tasks"
)

func TestASavedPlanIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Removals{}
		for range rapid.IntRange(1, 60).Draw(t, "pairs") {
			r.Add(fmt.Sprint("u", rapid.IntRange(0, 15).Draw(t, "user")), int64(rapid.IntRange(1, 30).Draw(t, "role")))
		}
		parts := PlanOf(r, "job")
		var seen *Snapshot
		if rapid.Bool().Draw(t, "somebody looked") {
			held := SnapshotPair{UserID: r.Users()[0], RoleID: r.Roles()[0]}
			seen = &Snapshot{SeenAt: time.Unix(1_700_000_000, 0).UTC(), NotHeld: []SnapshotPair{{UserID: "nobody", RoleID: 9}},
				Scopes: []SnapshotScope{{Pair: held, Departments: []int64{rapid.Int64Range(1, 99).Draw(t, "department")}}}}
		}
		var file bytes.Buffer
		if err := WritePlan(&file, r, parts, seen, time.Now()); err != nil {
			t.Fatal(err)
		}
		gotSet, gotParts, gotSeen, err := ReadPlan(&file, "job")
		if err != nil {
			t.Fatal(err)
		}
		if gotSet.Digest() != r.Digest() {
			t.Error("the removals are others")
		}
		if diff := cmp.Diff(parts, gotParts); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(seen, gotSeen); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAChangedPlanIsRefused(t *testing.T) {
	r, err := FromLists([]string{"u1", "u2", "u3"}, []int64{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := WritePlan(&file, r, PlanOf(r, "job"), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	for i := range file.Bytes() {
		changed := slices.Clone(file.Bytes())
		if changed[i] == '9' || changed[i] == '\n' {
			continue
		}
		changed[i]++
		if _, _, _, err := ReadPlan(bytes.NewReader(changed), "job"); err == nil {
			t.Errorf("byte %d changed from %q to %q, and the plan was taken: %s", i, file.Bytes()[i], changed[i], changed)
		}
	}
	if _, _, _, err := ReadPlan(bytes.NewReader(bytes.Replace(file.Bytes(), []byte(`"u3"`), []byte(`"u4"`), 1)), "job"); !errors.Is(err, ErrPlanChanged) {
		t.Errorf("another user: %v, want ErrPlanChanged", err)
	}
}

func FuzzReadPlan(f *testing.F) {
	r, _ := FromLists([]string{"u1", "u2"}, []int64{1, 2, 3})
	var file bytes.Buffer
	WritePlan(&file, r, PlanOf(r, "job"), nil, time.Now())
	f.Add(file.Bytes())
	f.Add([]byte(`{"unrole_plan":1,"calls":[{"u":[0],"r":[0]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, parts, _, err := ReadPlan(bytes.NewReader(data), "job")
		if err != nil {
			return
		}
		for i := range parts {
			if parts[i].Validate() != nil || len(parts[i].RoleIDs) > tasks.MaxRoles || len(parts[i].UserIDs) > tasks.MaxUsers {
				t.Fatalf("part %+v was taken", parts[i])
			}
		}
	})
}
