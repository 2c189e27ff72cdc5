package report

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/snapshot"
	"github.com/unrole/unrole/internal/test/redistest"
)

// leavers is the list that the job of people was submitted from, in another order than the ledger's.
func leavers() *List {
	return &List{Header: []string{"姓名", "user_id", ""}, Rows: slices.Values([]ListRow{
		{Line: 4, Users: []string{"p"}, Roles: []int64{7}, Cells: []string{"彭", "p", "财务部"}},
		{Line: 5, Users: []string{"=cmd|x"}, Roles: []int64{7}, Cells: []string{"=1+1", "=cmd|x"}},
		{Line: 6, Users: []string{"nobody"}, Roles: []int64{7}, Cells: []string{"无"}},
		{Line: 7, Users: []string{"a", "p"}, Roles: []int64{7}, Cells: []string{"安", "a"}},
	})}
}

func TestTheReportSaysWhyARowWasNotResolvedAndWhoHeldNothing(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, _ := submit(t, rdb, people, mixed)
	list := &List{Rows: slices.Values([]ListRow{
		{Unresolved: true, Reason: snapshot.Departed, Detail: "job:7: 赵四 (gone) has left"},
		{Users: []string{"idle"}, NoneHeld: []string{"idle"}},
	})}
	var out bytes.Buffer
	if err := CSV(t.Context(), l, "j", &out, Options{Words: true, List: list}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		",,unresolved,departed,,job:7: 赵四 (gone) has left,,,,nothing was sent: job:7: 赵四 (gone) has left,\n",
		"idle,,not_held,,,,,,,held no role that is taken when DingTalk was looked at: nothing was sent,\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if list.Strange != 0 {
		t.Errorf("%d strange rows", list.Strange)
	}
}

func TestTheReportHasTheColumnsAndTheOrderOfTheList(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, _ := submit(t, rdb, people, mixed)
	o := Options{Words: true, Zone: time.FixedZone("", 8*3600), Mark: true, List: leavers()}
	var out bytes.Buffer
	if err := CSV(t.Context(), l, "j", &out, o); err != nil {
		t.Fatal(err)
	}
	want := "\ufeff" + `user_id,role_id,outcome,reason,errcode,errmsg,request_id,attempts,finished_at,姓名,list: user_id,column 3,row,meaning,what_to_do
p,7,pending,,,,,,,彭,p,财务部,4,not done yet,submit the same list again if it does not go on: what is done stays done
'=cmd|x,7,dead_letter,user_gone,60121,找不到该用户,r1,2,2026-12-31T18:00:00+08:00,'=1+1,'=cmd|x,,5,"not removed: the user left, or belongs to another organisation",mostly nothing: who left holds no roles
a,7,removed,,,,r2,1,2026-12-31T18:00:00+08:00,安,a,,7,removed,
c,7,cancelled,,,wrong list,,,2026-12-31T18:00:00+08:00,,,,,cancelled: wrong list,
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
	if o.List.Strange != 1 {
		t.Errorf("%d strange rows, want that of nobody", o.List.Strange)
	}
	out.Reset()
	if err := JSON(t.Context(), l, "j", &out, o); err != nil || !strings.Contains(out.String(), `"row":4,"input":{"column 3":"财务部","list: user_id":"p","姓名":"彭"},"meaning":"not done yet"`) {
		t.Errorf("%v\n%s", err, &out)
	}
	out.Reset()
	o.Lang = texts.Chinese
	if err := HTML(t.Context(), l, ledger.Job{JobID: "j"}, &out, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<html lang="zh-CN">`, "钉钉角色移除报告", "<b>姓名</b> 彭", "未能移除：员工已离职，或属于其他组织", "2026-12-31 18:00:00 UTC&#43;8", "行号"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// For all lists: every pair of the job stands in the report once, in the order in which the list first names it.
func TestEveryPairStandsInTheReportOnceInTheOrderOfTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		users := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 1, 5, rapid.ID).Draw(t, "users")
		roles := rapid.SliceOfNDistinct(rapid.Int64Range(1, 4), 1, 4, rapid.ID).Draw(t, "roles")
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) ListRow {
			return ListRow{Line: rapid.IntRange(1, 99).Draw(t, "line"),
				Users: rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "x"}), 0, 3).Draw(t, "row's users"),
				Roles: rapid.SliceOfN(rapid.Int64Range(1, 5), 0, 3).Draw(t, "row's roles")}
		}), 0, 8).Draw(t, "rows")
		var got, want []string
		name := func(user string, role int64) string { return user + strconv.FormatInt(role, 10) }
		list := &List{Rows: slices.Values(rows)}
		err := list.join(time.Time{}, func(visit func(ledger.VerifiedRow) error) error {
			for _, u := range users {
				for _, r := range roles {
					if err := visit(ledger.VerifiedRow{Row: ledger.Row{UserID: u, RoleID: r}}); err != nil {
						return err
					}
				}
			}
			return nil
		}, func(r ledger.VerifiedRow, _ int, _ []string) error {
			got = append(got, name(r.UserID, r.RoleID))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		add := func(user string, role int64) {
			if n := name(user, role); slices.Contains(users, user) && slices.Contains(roles, role) && !slices.Contains(want, n) {
				want = append(want, n)
			}
		}
		for _, row := range rows {
			for _, u := range row.Users {
				for _, r := range row.Roles {
					add(u, r)
				}
			}
		}
		slices.Sort(users)
		slices.Sort(roles)
		for _, u := range users {
			for _, r := range roles {
				add(u, r)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A workbook says what the CSV says, in as many sheets as it takes, and every cell is text.
func TestAWorkbookSaysWhatTheCSVSays(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, _ := submit(t, rdb, []string{"00117", "=cmd|x", "c", "9007199254740993"}, mixed)
	var text, book bytes.Buffer
	if err := CSV(t.Context(), l, "j", &text, Options{Words: true}); err != nil {
		t.Fatal(err)
	}
	want, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(text.String(), "'=", "="))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if err := (Options{Words: true}).xlsx(t.Context(), l, "j", &book, 3); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&book)
	if err != nil {
		t.Fatal(err)
	}
	if names := f.GetSheetList(); !slices.Equal(names, []string{"removals", "removals 2"}) {
		t.Errorf("sheets %v", names)
	}
	got := [][]string{want[0]}
	for _, name := range f.GetSheetList() {
		rows, err := f.GetRows(name)
		if err != nil || !slices.Equal(rows[0], want[0]) {
			t.Fatalf("%v %v", err, rows)
		}
		for _, row := range rows[1:] {
			got = append(got, append(row, make([]string, len(want[0])-len(row))...))
		}
		if kind, err := f.GetCellType(name, "A2"); err != nil || kind == excelize.CellTypeNumber || kind == excelize.CellTypeFormula {
			t.Errorf("an id is a cell of type %v, %v", kind, err)
		}
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAReportOfNoRowsIsAWorkbookToo(t *testing.T) {
	_, rdb := redistest.Memory(t)
	l, _ := submit(t, rdb, nil, mixed)
	var book bytes.Buffer
	if err := XLSX(t.Context(), l, "j", &book, Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := excelize.OpenReader(&book)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := f.GetRows("removals"); err != nil || len(rows) != 1 {
		t.Errorf("%v %v", rows, err)
	}
}
