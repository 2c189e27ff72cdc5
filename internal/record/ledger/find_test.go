package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestPagesTogetherAreTheList(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	began := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		rdb.FlushAll(t.Context())
		var want []string
		for i, at := range rapid.SliceOfN(rapid.IntRange(0, 3), 1, 7).Draw(t, "created") {
			id := fmt.Sprint("j", i)
			want = append(want, id)
			user := rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "user")
			parts := []tasks.Part{{JobID: id, Part: "0", UserIDs: []string{user}, RoleIDs: []int64{1}}}
			if _, err := l.Create(t.Context(), NewJob{JobID: id, CreatedAt: began.Add(time.Duration(at) * time.Second), Source: user, Pairs: 1, Content: "c", Plan: "p", Parts: 1}); err != nil {
				t.Fatal(err)
			}
			if _, err := l.PutParts(t.Context(), id, "p", parts); err != nil {
				t.Fatal(err)
			}
		}
		filter := Filter{}
		if rapid.Bool().Draw(t, "of ann") {
			filter.UserIDs = []string{"ann"}
		}
		if rapid.Bool().Draw(t, "open") {
			filter.States = []State{StateSubmitting}
		}
		perPage := rapid.IntRange(1, 5).Draw(t, "per page")
		var got []string
		for behind, more := "", true; more; {
			more = false
			n := 0
			for look, err := range l.Find(t.Context(), filter, behind) {
				if err != nil {
					t.Fatal(err)
				}
				if look.Found != (filter.UserIDs == nil || look.Job.Source == "ann") {
					t.Fatalf("%+v", look)
				}
				got = append(got, look.Job.JobID)
				if n++; n == perPage {
					behind, more = look.Place, true
					break
				}
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want each of %v once", got, want)
		}
	})
	for _, text := range []string{"x", "-", "1", "1-a b", "0-a"} {
		for _, err := range l.Find(t.Context(), Filter{}, text) {
			if _, is := err.(*PlaceError); !is {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}
