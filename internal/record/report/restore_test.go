package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

func TestThePageOfARestoreSaysWhatWasGivenBackAndOverWhichDepartments(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l := ledger.New(rdb, time.Hour)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	part := tasks.Part{JobID: "back", Part: "0", Action: tasks.Add, UserIDs: []string{"anna", "bert", "gone"}, RoleIDs: []int64{7}}
	_, err := l.Create(ctx, ledger.NewJob{JobID: "back", Action: tasks.Add, Restores: "layoff", CreatedAt: time.Now(), Pairs: 3, Users: 3, Roles: 1, Content: "c", Plan: "p", Parts: 1,
		Snapshot: &snapshot.Snapshot{SeenAt: at, Scopes: []snapshot.Scope{{Pair: snapshot.Pair{UserID: "bert", RoleID: 7}, Departments: []int64{11, 12}}}}})
	must(err)
	_, err = l.PutParts(ctx, "back", "p", []tasks.Part{part})
	must(err)
	must(l.Planned(ctx, "back", "p", 1))
	must(l.Submitted(ctx, "back"))
	claims, err := l.Claim(ctx, ledger.Request{Part: &part, Lane: "default"})
	must(err)
	_, err = l.Settle(ctx, claims[0],
		ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{0, 1}}, Outcome: ledger.Outcome{Kind: ledger.Restored, At: at}},
		ledger.Settlement{Pairs: pairs.Rectangle{Users: []pairs.User{2}}, Outcome: ledger.Outcome{Kind: ledger.Dead, Reason: tasks.ReasonUserGone, ErrCode: 60121, At: at}})
	must(err)
	job, err := l.Get(ctx, "back")
	must(err)
	for lang, name := range map[texts.Lang]string{texts.English: "given back", texts.Chinese: "已恢复"} {
		var out bytes.Buffer
		must(XLSX(ctx, l, "back", &out, Options{Words: true, Lang: lang}))
		book, err := excelize.OpenReader(&out)
		must(err)
		if names := book.GetSheetList(); !slices.Equal(names, []string{name}) {
			t.Errorf("sheets %q", names)
		}
	}
	for lang, says := range map[texts.Lang][]string{
		texts.English: {"<title>DingTalk roles given back: job back</title>", "<h1>DingTalk roles given back</h1>", "what job layoff removed", "What could not be given back",
			`aria-label="2 given back, 1 not given back"`, "limited to the departments 11, 12", "unrole verify back"},
		texts.Chinese: {"<h1>钉钉角色恢复报告</h1>", "任务 layoff 移除的角色", "限于部门 11, 12", "未能恢复"},
	} {
		var out bytes.Buffer
		must(HTML(ctx, l, job, &out, Options{Lang: lang, Page: Page{Now: at}}))
		for _, want := range says {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the page does not say %q", want)
			}
		}
		for _, never := range []string{"Removal of", "not removed", "Not removed", "“Removed”", "移除报告", "未移除"} {
			if strings.Contains(out.String(), never) {
				t.Errorf("the page of a restore says %q", never)
			}
		}
		if n := strings.Count(out.String(), "11, 12"); n != 1 {
			t.Errorf("%d pairs have a scope, one had", n)
		}
	}
}
