package lists

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatHasToBeLookedUpKeepsWhatTheRowSaysBesides(t *testing.T) {
	type read struct {
		People, Also []Person
		Roles        []Role
	}
	for name, c := range map[string]struct {
		text string
		opt  Options
		want []read
	}{
		"the most exact filled column counts": {"姓名,手机号,工号,角色\n王芳,13812345678,0042,财务/出纳\n李雷,,7,9\n韩梅梅,,,9\n", Options{}, []read{
			{[]Person{{Mobile, "13812345678"}}, []Person{{JobNumber, "0042"}, {Name, "王芳"}}, []Role{{Name: "财务/出纳"}}},
			{[]Person{{JobNumber, "7"}}, []Person{{Name, "李雷"}}, []Role{{Name: "9"}}},
			{[]Person{{Name, "韩梅梅"}}, nil, []Role{{Name: "9"}}},
		}},
		"a list may name people in several ways": {"user_ids,role_id\nu1;mobile:13812345678;job:0042,7\n", Options{}, []read{
			{[]Person{{UserID, "u1"}, {Mobile, "13812345678"}, {JobNumber, "0042"}}, nil, []Role{{ID: 7}}},
		}},
		"all roles take no column": {"name,email\n王芳,a@b.cn\n", Options{AllRoles: true}, []read{
			{[]Person{{Email, "a@b.cn"}}, []Person{{Name, "王芳"}}, nil},
		}},
		"JSON says it by field": {`{"mobile":"13812345678","name":"王芳","role":"出纳"}`, Options{}, []read{
			{[]Person{{Mobile, "13812345678"}}, []Person{{Name, "王芳"}}, []Role{{Name: "出纳"}}},
		}},
		"JSON, all roles": {`{"user_id":"u","name":"王芳"}`, Options{AllRoles: true}, []read{
			{[]Person{{UserID, "u"}}, []Person{{Name, "王芳"}}, nil},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []read
			var kept Kept
			c.opt.Lookup = true
			if _, err := Read(strings.NewReader(c.text), c.opt, func(row Row) error { kept.Add(row); return nil }); err != nil {
				t.Fatal(err)
			}
			for row := range kept.All() {
				got = append(got, read{append([]Person(nil), row.People...), append([]Person(nil), row.Also...), append([]Role(nil), row.Roles...)})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("read (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatNamesNobodyIsRefusedWithItsPlace(t *testing.T) {
	for text, c := range map[string]struct {
		opt  Options
		want string
	}{
		"name,role_id\n,7\n王芳,7\n":            {Options{Lookup: true}, "input:2:1: name is empty"},
		"user_id,role_id\nmobile:,7\n":        {Options{Lookup: true}, `"mobile:" names nobody`},
		"user_id,role_id\njob:42,7\n":         {Options{}, "a staff number is no user id and has to be looked up"},
		"user_id,role_id\nu,7\n":              {Options{Lookup: true, AllRoles: true}, `the column "role_id" names roles: --all-roles is for an input without`},
		`{"user_id":"u","role_id":7}`:         {Options{Lookup: true, AllRoles: true}, "role_id stands there already: --all-roles is for an input without"},
		"mobile,role_id\n1381234567,7\nu,7\n": {Options{Lookup: true}, `"1381234567" is not a mobile number, which the column "mobile" has`},
	} {
		_, err := Read(strings.NewReader(text), c.opt, func(Row) error { return nil })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want one with %q", text, err, c.want)
		}
	}
}
