package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// What a preflight saw is there before anything can be enqueued, stays as it was when the same job is submitted again,
// and ends with the record.
func TestTheSnapshotLivesAsLongAsTheRecord(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	p := tasks.Part{JobID: "j", Part: "0", UserIDs: []string{"a"}, RoleIDs: []int64{1}}
	seen := &snapshot.Snapshot{SeenAt: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Unresolved: 2,
		NotHeld: []snapshot.Pair{{UserID: "b", RoleID: 1}, {UserID: "b", RoleID: 2}},
		Scopes:  []snapshot.Scope{{Pair: snapshot.Pair{UserID: "a", RoleID: 1}, Departments: []int64{7, 8}}}}
	for i, s := range []*snapshot.Snapshot{seen, {SeenAt: time.Now()}} {
		created, err := l.Create(t.Context(), NewJob{JobID: "j", CreatedAt: time.Now(), Pairs: 1, Content: "c", Plan: "p", Parts: 1, Snapshot: s})
		if err != nil || created.Existed != (i == 1) {
			t.Fatalf("%+v, %v", created, err)
		}
		have, err := l.Snapshot(t.Context(), "j")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(seen, have); diff != "" {
			t.Errorf("submission %d: the snapshot (-want +got):\n%s", i, diff)
		}
	}
	record, err := l.Get(t.Context(), "j")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Seen{At: seen.SeenAt, NotHeld: 2, Unresolved: 2, Scoped: 1}, record.Snapshot); diff != "" {
		t.Errorf("its sum (-want +got):\n%s", diff)
	}

	if _, err := l.PutParts(t.Context(), "j", "p", []tasks.Part{p}); err != nil {
		t.Fatal(err)
	}
	if err := l.Planned(t.Context(), "j", "p", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Settle(t.Context(), claim(t, l, p), Settlement{Outcome: Outcome{Kind: Removed}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range redistest.Keys(t, rdb) {
		if ends := rdb.PTTL(t.Context(), key).Val() > 0; ends != slices.Contains([]string{keys("j")[keyJob], keys("j")[keyParts], keys("j")[keyState], keys("j")[keySeen]}, key) {
			t.Errorf("%s ends with the record: %t", key, ends)
		}
	}
}

func TestAJobWithoutPreflightHasNoSnapshot(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	job(t, l, "j", tasks.Part{UserIDs: []string{"a"}, RoleIDs: []int64{1}})
	record, err := l.Get(t.Context(), "j")
	if err != nil || record.Snapshot != nil {
		t.Errorf("its sum is %+v, %v", record.Snapshot, err)
	}
	if s, err := l.Snapshot(t.Context(), "j"); s != nil || err != nil {
		t.Errorf("got %+v, %v", s, err)
	}
}
