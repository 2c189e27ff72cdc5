package report

import (
	"os"
	"regexp"
	"testing"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/tasks"
)

func TestEveryEventOfTheAuditHasAName(t *testing.T) {
	source, err := os.ReadFile("../ledger/audit.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^\tEvent\w+ +Event = "(\w+)"`).FindAllSubmatch(source, -1)
	if len(all) < 13 {
		t.Fatalf("%d events", len(all))
	}
	for _, m := range all {
		event := string(m[1])
		if got := EventName(ledger.Event(event)).In(texts.Chinese); got == event {
			t.Errorf("%s has no name in Chinese", event)
		}
	}
}

func TestTheAuditSaysWhyInTheLanguageOfItsReader(t *testing.T) {
	for _, c := range []struct {
		entry            ledger.Entry
		english, chinese string
	}{
		{ledger.Entry{Event: ledger.EventSettled, Why: string(tasks.ReasonInvalidUser)}, "DingTalk knows no such user", "钉钉中没有此员工"},
		{ledger.Entry{Event: ledger.EventSettled}, "", ""},
		{ledger.Entry{Event: ledger.EventRefused, Why: "people or roles are not certain (2)"}, "people or roles are not certain (2)", "有 2 处人员或角色无法确定"},
		{ledger.Entry{Event: ledger.EventVerified, Why: "1,640 gone, 0 still held, 3 unknown"}, "1,640 gone, 0 still held, 3 unknown", "1,640 条已不再拥有，0 条仍拥有，3 条未知"},
		{ledger.Entry{Event: ledger.EventCancelled, Why: "job id is empty"}, "job id is empty", "job id is empty"}, // somebody's own words
	} {
		if e, z := EventWhy(c.entry).In(texts.English), EventWhy(c.entry).In(texts.Chinese); e != c.english || z != c.chinese {
			t.Errorf("%s %q: %q, %q", c.entry.Event, c.entry.Why, e, z)
		}
	}
}
