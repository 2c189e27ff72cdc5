package ledger

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// A Redis Cluster refuses a script whose keys are in different slots.
func TestAllKeysOfAJobAreInOneSlot(t *testing.T) {
	rdb := redistest.Start(t, "--cluster-enabled", "yes").Client()
	slots := map[int64]string{}
	for _, id := range []string{"j", "20261231-180000-k3x9q2ab", "a.b_c-D"} {
		var first int64
		for i, key := range keys(id) {
			slot, err := rdb.ClusterKeySlot(t.Context(), key).Result()
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = slot
			} else if slot != first {
				t.Errorf("%s is in slot %d, the job in %d", key, slot, first)
			}
		}
		slots[first] = id
	}
	if len(slots) < 2 {
		t.Errorf("all jobs are in one slot: %v", slots)
	}
}

// Everything that is written of a job is under its keys, but for its name in the index.
func TestAJobHasNoOtherKeys(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := New(rdb, time.Hour)
	parts := []tasks.Part{{UserIDs: []string{"a", "b"}, RoleIDs: []int64{1}}}
	job(t, l, "j", parts...)
	c, err := l.Claim(t.Context(), Request{Part: &parts[0], Lane: "default", Begin: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Settle(t.Context(), c[0], Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0}}, Outcome: Outcome{Kind: Removed}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Learn(t.Context(), c[0], UserField("b"), tasks.Failure{Reason: tasks.ReasonUserGone}); err != nil {
		t.Fatal(err)
	}
	verified(t, l, "j")
	allowed := append(keys("j"), indexKey, openKey, wordKey, restoresKey)
	for _, key := range redistest.Keys(t, rdb) {
		if !slices.Contains(allowed, key) {
			t.Errorf("%s is no key of the job", key)
		}
	}
}

// verified gives every pair of the job the verdict gone.
func verified(t *testing.T, l *Ledger, id string) {
	t.Helper()
	n := int64(0)
	err := l.Each(t.Context(), id, func(rec PartRecord) error {
		said := make([]Verdict, rec.Part.Pairs())
		for i := range said {
			said[i] = Gone
		}
		n += int64(rec.Part.Owned())
		return l.PutVerdicts(t.Context(), rec, time.Now(), said)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.PutVerification(t.Context(), id, Verification{At: time.Now(), Total: n, Gone: n}); err != nil {
		t.Fatal(err)
	}
}

func TestAFinishedJobVanishesAndItsTrailAndDeadLettersStay(t *testing.T) {
	server := redistest.Start(t, "--notify-keyspace-events", "Ex")
	rdb := server.Client()
	l := New(rdb, 300*time.Millisecond)
	expired := rdb.PSubscribe(t.Context(), "__keyevent@*__:expired")
	defer expired.Close()
	if _, err := expired.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle := func(id string, kind Kind) {
		t.Helper()
		parts := []tasks.Part{{UserIDs: []string{"a"}, RoleIDs: []int64{1}}}
		job(t, l, id, parts...)
		if _, err := l.Settle(t.Context(), claim(t, l, parts[0]), Settlement{Outcome: Outcome{Kind: kind}}); err != nil {
			t.Fatal(err)
		}
	}
	settle("dead", Dead)
	verified(t, l, "dead")
	settle("done", Removed)
	verified(t, l, "done") // after the end: it must not outlive the job
	job(t, l, "open", tasks.Part{UserIDs: []string{"a"}, RoleIDs: []int64{1}})

	// The job's own hash, its parts and its states.
	for range 3 {
		if _, err := expired.ReceiveMessage(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var have []string
	for job, err := range l.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		have = append(have, job.JobID)
	}
	slices.Sort(have)
	if want := []string{"dead", "open"}; !slices.Equal(have, want) {
		t.Errorf("jobs %v are left, want %v", have, want)
	}
	for _, key := range keys("done")[:keyAudit] {
		if n := rdb.Exists(t.Context(), key).Val(); n != 0 {
			t.Errorf("%s is still there", key)
		}
	}
	for _, id := range []string{"dead", "done", "open"} {
		entries := 0
		if err := l.Trail(t.Context(), id, "", func(TrailEntry) error { entries++; return nil }); err != nil || entries == 0 {
			t.Errorf("the trail of %s has %d entries, %v", id, entries, err)
		}
		for _, key := range redistest.Keys(t, rdb) {
			if ttl := rdb.PTTL(t.Context(), key).Val(); ttl >= 0 {
				t.Errorf("%s ends in %s", key, ttl)
			}
		}
	}
	var unknown *NotFoundError
	if err := l.Trail(t.Context(), "nowhere", "", nil); !errors.As(err, &unknown) {
		t.Errorf("the trail of no job: %v", err)
	}
}
