package lists

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/base/texts"
)

// forms are texts of which each can be one kind only.
var forms = map[NamedBy]*rapid.Generator[string]{
	UnionID: rapid.StringMatching(`[A-Za-z0-9]{22}iE`),
	Mobile:  rapid.StringMatching(`(\+86-?|86)?1[3-9][0-9]{9}|1[3-9][0-9]-[0-9]{4}-[0-9]{4}|\+852-?[0-9]{8}`),
	Email:   rapid.StringMatching(`[a-z.]{1,9}[a-z]@[a-z]{2,8}\.(cn|com)`),
	Name:    rapid.StringMatching(`[王李张刘陈][一-龥]{1,2}`),
	dingID:  rapid.StringMatching(`\$:LWCP_v1:\$[A-Za-z0-9]{22}`),
}

// headingsOf are the headings that stand for a kind of naming somebody.
func headingsOf(kind NamedBy) []string {
	for _, f := range fields {
		if !f.field.ofRoles() && f.field.kind() == kind {
			return strings.Fields(f.headings)
		}
	}
	return nil
}

// What the heading of a column says counts: what is in it is never taken for a user id, whatever it looks like.
func TestAColumnOfAnotherKindIsNeverOneOfUserIDs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]NamedBy{UnionID, Mobile, JobNumber, Email, Name}).Draw(t, "kind")
		heading := rapid.SampledFrom(headingsOf(kind)).Draw(t, "heading")
		good := rapid.StringMatching(`[A-Za-z0-9]{1,12}`)
		if own := forms[kind]; own != nil {
			good = rapid.OneOf(good, own)
		}
		var text strings.Builder
		text.WriteString(heading + ",role_id\n")
		n := rapid.IntRange(1, 4).Draw(t, "rows")
		for range n {
			text.WriteString(good.Draw(t, "cell") + ",1507113578\n")
		}

		_, err := Read(strings.NewReader(text.String()), Options{}, func(Row) error { t.Fatal("taken"); return nil })
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), kind.what().In(texts.English)+" is no user id and has to be looked up") {
			t.Fatalf("%q without credentials: %v", text.String(), err)
		}

		_, err = Read(strings.NewReader(text.String()), Options{Lookup: true}, func(row Row) error {
			if slices.ContainsFunc(row.People, func(p Person) bool { return p.By != kind }) {
				t.Fatalf("%q was taken as %v", text.String(), row.People)
			}
			return nil
		})
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
	})
}

func TestWhatIsOfAnotherKindThanItsColumnIsRefusedWithItsPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		column := rapid.SampledFrom([]NamedBy{UnionID, Mobile, JobNumber, Email, Name}).Draw(t, "column")
		form := rapid.SampledFrom([]NamedBy{UnionID, Mobile, Email, Name, dingID}).Draw(t, "form")
		if form == column || column == JobNumber && form == Mobile {
			t.Skip("is what it should be, or may be")
		}
		heading := rapid.SampledFrom(headingsOf(column)).Draw(t, "heading")
		cell := forms[form].Draw(t, "cell")
		text := "部门," + heading + ",role_id\n研发," + cell + ",1507113578\n"
		_, err := Read(strings.NewReader(text), Options{Lookup: true}, func(Row) error { t.Fatalf("%q was taken", text); return nil })
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "input:2:4: ") || !strings.Contains(err.Error(), column.what().In(texts.English)) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

// Where the heading says user ids, one text of another form is a warning, since ids are what an administrator made of them.
func TestWhatLooksLikeAnotherKindAmongUserIDsIsWarnedOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		form := rapid.SampledFrom([]NamedBy{UnionID, Mobile, Email, Name, dingID}).Draw(t, "form")
		cell := forms[form].Draw(t, "cell")
		text := "员工UserID,角色ID\nw.chen,7\nl.lei,7\n" + cell + ",7\n"
		set, report, err := read(strings.NewReader(text), Options{})
		if err != nil || len(pairsOf(set)) != 3 {
			t.Fatalf("%q: %v", text, err)
		}
		said := ""
		for _, note := range report.Notes {
			said += note.In(texts.English) + "\n"
		}
		if !strings.Contains(said, "line 4: ") || !strings.Contains(said, "looks like "+form.what().In(texts.English)) {
			t.Fatalf("%q: %s", text, said)
		}
	})
}

// Editors and scripts go to a fault by its place, whatever the language.
func TestThePlaceOfAFaultIsWrittenAlikeInEveryLanguage(t *testing.T) {
	refused := &Refused{Name: "l.csv", Total: 3, Rows: []RowError{{Line: 2, Column: 3, Reason: texts.T("user id is empty")}, {Cell: "B7", Reason: texts.T("user id is empty")}}}
	want := "l.csv:2:3: UserID 为空\nl.csv:B7: UserID 为空\n……另有 1 处"
	if got := texts.Say(texts.Chinese, refused); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
