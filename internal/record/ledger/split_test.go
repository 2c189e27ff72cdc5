package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// job creates a submitted job of the given parts.
func job(t *testing.T, l *Ledger, id string, parts ...tasks.Part) {
	t.Helper()
	pairs := 0
	for i := range parts {
		parts[i].JobID, parts[i].Part = id, fmt.Sprint(i)
		pairs += parts[i].Owned()
	}
	ctx := t.Context()
	if _, err := l.Create(ctx, NewJob{JobID: id, CreatedAt: time.Now(), Pairs: pairs, Content: "c", Plan: "p", Parts: len(parts)}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.PutParts(ctx, id, "p", parts); err != nil {
		t.Fatal(err)
	}
	if err := l.Planned(ctx, id, "p", len(parts)); err != nil {
		t.Fatal(err)
	}
	if err := l.Submitted(ctx, id); err != nil {
		t.Fatal(err)
	}
}

func claim(t *testing.T, l *Ledger, p tasks.Part) *Claim {
	t.Helper()
	c, err := l.Claim(t.Context(), Request{Part: &p, Lane: "default"})
	if err != nil {
		t.Fatal(err)
	}
	return c[0]
}

func counts(t *testing.T, l *Ledger, id string) Pairs {
	t.Helper()
	j, err := l.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return j.Pairs
}

// A cancel reads a part, a worker splits it, the cancel settles it: its pairs are its children's now, who would count
// them a second time.
func TestASplitPartSettlesNothing(t *testing.T) {
	redistest.Both(t, func(t *testing.T, rdb *redis.Client) {
		l := New(rdb, time.Hour)
		part := tasks.Part{UserIDs: []string{"a", "b"}, RoleIDs: []int64{1}}
		parts := []tasks.Part{part}
		job(t, l, "j", parts...)
		part = parts[0]
		stale := claim(t, l, part)
		children := []tasks.Part{{JobID: "j", Part: "0.0", UserIDs: []string{"a"}, RoleIDs: []int64{1}}, {JobID: "j", Part: "0.1", UserIDs: []string{"b"}, RoleIDs: []int64{1}}}
		if err := l.Split(t.Context(), claim(t, l, part), children); err != nil {
			t.Fatal(err)
		}
		cancelled := Settlement{Outcome: Outcome{Kind: Cancelled}}
		if d, err := l.Settle(t.Context(), stale, cancelled); err != nil || d != (Delta{}) {
			t.Errorf("a claim from before the split changed %+v, %v", d, err)
		}
		for _, child := range children {
			if _, err := l.Settle(t.Context(), claim(t, l, child), cancelled); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(Pairs{Total: 2, Cancelled: 2}, counts(t, l, "j")); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}
