package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
)

// made lists the jobs with their states, the first one first.
func (w *world) made() []string {
	w.Helper()
	var all []string
	for look, err := range w.ledger.Find(w.Context(), ledger.Filter{}, "") {
		if err != nil {
			w.Fatal(err)
		}
		all = append(all, string(look.Job.State))
	}
	slices.Reverse(all)
	return all
}

func TestWithoutAnIDTheSameOfTheSamePersonIsOneJobADay(t *testing.T) {
	w := hooked(t)
	wang, li := `{"mobile":"13812345678"}`, `{"mobile":"13912345678"}`
	first := w.hook("noid", wang).job(t)
	if again := w.hook("noid", wang).job(t); first.State != ledger.StateResolving || again.JobID != first.JobID {
		t.Errorf("the same again: %+v, %+v", first, again)
	}
	if other := w.hook("noid", li).job(t); other.JobID == first.JobID {
		t.Errorf("somebody else: %+v", other)
	}
	// What was refused is looked up anew: somebody has corrected the directory.
	if err := w.ledger.EndAsked(t.Context(), first.JobID, "", "nobody is found", &snapshot.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	second := w.hook("noid", wang).job(t)
	if again := w.hook("noid", wang).job(t); second.JobID == first.JobID || second.State != ledger.StateResolving || again.JobID != second.JobID {
		t.Errorf("after a refusal: %+v, %+v", second, again)
	}
	if want := []string{"noid taken", "noid again", "noid taken", "noid taken", "noid again"}; !slices.Equal(w.heard, want) {
		t.Errorf("%q", w.heard)
	}
}

func TestWhoStaysLosesNothingThatHasNotBegun(t *testing.T) {
	const day = `"day":"2099-12-31"`
	for what, id := range map[string]string{"with an id": `"id":"e-%d",`, "with the same id of the system": `"id":"e",`} {
		t.Run(what, func(t *testing.T) {
			w := hooked(t)
			n := 0
			say := func(kind, who string) answer {
				t.Helper()
				n++
				event := id
				if strings.Contains(id, "%d") {
					event = fmt.Sprintf(id, n)
				}
				got := w.hook("back", `{"type":"`+kind+`",`+event+day+`,"who":[`+who+`]}`)
				if got.status != http.StatusOK {
					t.Fatalf("%d %s", got.status, got.body)
				}
				return got
			}
			// The second is a user id, whose job is scheduled; the first one's is being looked up. The system calls them by a number.
			say("left", `{"no":"7","mobile":"13812345678"},{"no":"8","user":"manager4220"}`)
			if got := w.made(); !slices.Equal(got, []string{"resolving", "resolving"}) {
				t.Fatalf("%q", got)
			}
			say("back", `{"no":"8","mobile":"13912345678"}`) // with another number, which is not looked at
			if got := w.made(); !slices.Equal(got, []string{"resolving", "cancelled"}) {
				t.Errorf("after the second one is back: %q", got)
			}
			say("back", `{"no":"8","user":"manager4220"}`)
			say("back", `{"no":"9","user":"nobody"}`)
			say("back", `{"no":"7","user":"wang"},{"no":"8","user":"manager4220"}`)
			if got := w.made(); !slices.Equal(got, []string{"cancelled", "cancelled"}) {
				t.Errorf("after both are: %q", got)
			}
			if want := []string{"back taken", "back taken_back", "back taken_back", "back taken_back", "back taken_back"}; !slices.Equal(w.heard, want) {
				t.Errorf("%q", w.heard)
			}
		})
	}
}

// says sends the adapter dated a message about one person, which was sent so many seconds ago.
func (w *world) says(kind, id string, ago int) answer {
	w.Helper()
	got := w.hook("dated", fmt.Sprintf(`{"type":%q,"id":%q,"sent":%d,"day":"2099-12-31","who":[{"no":"7","user":"manager4220"}]}`, kind, id, time.Now().Unix()-int64(ago)))
	if got.status != http.StatusOK {
		w.Fatalf("%d %s", got.status, got.body)
	}
	return got
}

func TestAMessageThatComesAgainTakesBackNothingThatWasSaidSince(t *testing.T) {
	w := hooked(t)
	for i, kind := range []string{"left", "back", "left"} {
		w.says(kind, fmt.Sprint(i), 9-i)
	}
	w.says("back", "1", 0) // sent again, with another time
	if got := w.made(); !slices.Equal(got, []string{"cancelled", "resolving"}) {
		t.Errorf("%q", got)
	}
	w.says("back", "3", 0)
	for _, key := range w.keysOf("unrole:hook:*") {
		if left := w.rdb.TTL(t.Context(), key).Val(); left < 50*365*24*time.Hour {
			t.Errorf("somebody whose job waits for 2099 is remembered for %v", left)
		}
	}
	if got := w.made(); !slices.Equal(got, []string{"cancelled", "cancelled"}) {
		t.Errorf("after a new one: %q", got)
	}
}

func TestAMessageThatComesLateTakesBackNothingThatWasSaidSince(t *testing.T) {
	w := hooked(t)
	w.says("left", "2", 0)
	w.says("back", "1", 60)
	if got := w.made(); !slices.Equal(got, []string{"resolving"}) {
		t.Errorf("%q", got)
	}
}

func TestWhoStaysIsNotRemovedByAnEarlierMessageThatComesLate(t *testing.T) {
	for what, before := range map[string]bool{"for the first time": false, "again, after a crash before its job was stored": true} {
		t.Run(what, func(t *testing.T) {
			w := hooked(t)
			again := 60
			if before {
				w.says("left", "1", 60)
				if err := w.rdb.Del(t.Context(), append(w.keysOf("unrole:job*"), w.keysOf("asynq:*")...)...).Err(); err != nil {
					t.Fatal(err)
				}
				again = 0 // with another time
			}
			w.says("back", "2", 30)
			if got := w.says("left", "1", again); !strings.Contains(got.body, "stays") {
				t.Errorf("%s", got.body)
			}
			if got := w.made(); len(got) != 0 {
				t.Errorf("%q", got)
			}
			if got := w.heard[len(w.heard)-1]; got != "dated ignored" {
				t.Errorf("%q", got)
			}
			w.says("left", "3", 10)
			if got := w.made(); !slices.Equal(got, []string{"resolving"}) {
				t.Errorf("who leaves after all: %q", got)
			}
		})
	}
}

// meanwhile does something once, right after the first person of a message was remembered.
type meanwhile struct {
	did atomic.Bool
	do  func()
}

func (*meanwhile) DialHook(next redis.DialHook) redis.DialHook { return next }
func (*meanwhile) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *meanwhile) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if args := cmd.Args(); err == nil && len(args) > 3 && strings.HasPrefix(fmt.Sprint(args[3]), "unrole:hook:") && !m.did.Swap(true) {
			m.do()
		}
		return err
	}
}

func TestWhoStaysIsNotRemovedByAMessageThatIsBeingStored(t *testing.T) {
	w := hooked(t)
	w.rdb.AddHook(&meanwhile{do: func() { w.says("back", "2", 0) }})
	w.says("left", "1", 1)
	if got := w.made(); !slices.Equal(got, []string{"cancelled"}) {
		t.Errorf("%q", got)
	}
}

func TestTheIDOfAJobTellsNobodyWhoLeaves(t *testing.T) {
	const wang = `{"mobile":"13812345678"}`
	if one, other := hooked(t).hook("noid", wang).job(t), hooked(t).hook("noid", wang).job(t); one.JobID == other.JobID {
		t.Errorf("whoever tries all mobile numbers finds whose job %s is", one.JobID)
	}
}

func TestWhoIsRefusedInAMessageKeepsTheOthersFromNothing(t *testing.T) {
	w := hooked(t)
	body := `{"type":"left","id":"e","day":"2099-12-31","who":[{"no":"1","user":"ann"},{"no":"2","user":"boss"},{"no":"3","user":"cid"}]}`
	for range 2 {
		if got := w.hook("back", body); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, "person 2 of 3: ") {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := w.made(); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := w.keysOf("unrole:hook:*"); len(got) != 3 || strings.Contains(fmt.Sprint(got), "ann") {
		t.Errorf("%q", got)
	}
}

func (w *world) keysOf(pattern string) []string {
	w.Helper()
	keys, err := w.rdb.Keys(w.Context(), pattern).Result()
	if err != nil {
		w.Fatal(err)
	}
	return keys
}
