package leavers

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/unrole/unrole/internal/out/dingtalk"
)

func TestARuleIsReadOrEveryFaultOfItNamed(t *testing.T) {
	r, err := ParseRule([]byte("mode: automatic\ndepartments: [财务部, 12]\nkeep_roles: [7, 财务/出纳]\ntime: \"09:30\"\ntime_zone: Europe/Berlin\ngrace_days: 2\nmax_users: 5\nevery: 1m\n"))
	if err != nil || !r.Automatic || r.Departments[1] != "12" || r.Keep[0].ID != 7 || r.Keep[1].Name != "财务/出纳" || r.Every != time.Minute || r.MaxUsers != 5 {
		t.Errorf("%+v %v", r, err)
	}
	day := time.Date(2026, 12, 30, 23, 30, 0, 0, time.UTC) // the 31st in Berlin
	if due := r.Due(day); due.Format(time.RFC3339) != "2027-01-02T09:30:00+01:00" {
		t.Errorf("due %v", due)
	}
	if r, err := ParseRule(nil); err != nil || r.Automatic || r.Hour != 18 || r.Zone.String() != "Asia/Shanghai" || r.MaxUsers != 20 {
		t.Errorf("an empty file: %+v %v", r, err)
	}
	_, err = ParseRule([]byte("mode: yes please\ntime: 25:00\ntime_zone: Moon\ngrace_days: -1\nmax_users: 0\nevery: 1s\n"))
	for _, field := range []string{"mode", "time", "time_zone", "grace_days", "max_users", "every"} {
		if err == nil || !strings.Contains(err.Error(), field+": ") {
			t.Errorf("%s is not named: %v", field, err)
		}
	}
	if _, err := ParseRule([]byte("keep_role: [7]\n")); err == nil || !strings.Contains(err.Error(), "keep_role") {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestTheLastDayIsThatOfChinaWhereverTheRuleIs(t *testing.T) {
	china := time.Date(2026, 12, 31, 0, 0, 0, 0, DefaultZone) // as HR gives it
	for _, name := range []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Pacific/Honolulu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		r := Rule{Zone: zone, Hour: 18}
		if due := r.Due(china); !due.Equal(time.Date(2026, 12, 31, 18, 0, 0, 0, zone)) {
			t.Errorf("%s: due %v", name, due)
		}
		if id := r.JobID("ann", china); id != "leaver-20261231-ann" {
			t.Errorf("%s: %s", name, id)
		}
	}
	auckland := Rule{Zone: time.FixedZone("", 13*3600)}
	if day := auckland.Day(time.Date(2026, 12, 31, 9, 0, 0, 0, auckland.Zone).Add(-8 * time.Hour)); day.Day() != 31 {
		t.Errorf("the day begins earlier there: %v", day)
	}
}

func TestNobodyLosesAnythingWhoStaysOrBeforeTheLastDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rule{Zone: time.FixedZone("zone", rapid.IntRange(-11, 13).Draw(t, "zone")*3600), Hour: rapid.IntRange(0, 23).Draw(t, "hour"),
			Minute: rapid.IntRange(0, 59).Draw(t, "minute"), Grace: rapid.IntRange(0, 3).Draw(t, "grace")}
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "3"}), 0, 2)
		r.Departments, r.Except = names.Draw(t, "departments"), names.Draw(t, "except")
		l := Leaver{UserID: rapid.StringN(1, 64, -1).Draw(t, "user"), Known: rapid.Bool().Draw(t, "known"), Admin: rapid.Bool().Draw(t, "admin"),
			Stage: rapid.SampledFrom([]Stage{Staying, Undecided, Leaving, Left, Rehired, ""}).Draw(t, "stage")}
		if rapid.Bool().Draw(t, "day known") {
			l.LastDay = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "day"), 0)
		}
		if l.Known {
			l.Departments = []dingtalk.Department{{ID: rapid.Int64Range(2, 4).Draw(t, "department"), Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")}}
		}
		v := r.Judge(l)
		if !v.Act {
			if v.Why.String() == "" {
				t.Fatal("nothing is done, and nobody says why")
			}
			return
		}
		y, m, d := l.LastDay.In(r.Zone).Date()
		switch {
		case l.Stage != Leaving && l.Stage != Left, l.Admin, l.LastDay.IsZero():
			t.Fatalf("%+v loses roles", l)
		case v.Due.Before(time.Date(y, m, d, 0, 0, 0, 0, r.Zone)):
			t.Fatalf("due %v, the last day is %v", v.Due, l.LastDay)
		case within(r.Except, l.Departments), len(r.Departments) > 0 && !within(r.Departments, l.Departments):
			t.Fatalf("%+v is not the rule's: %+v", l, r)
		}
		id := r.JobID(l.UserID, l.LastDay)
		for n := 1; n < 12; n++ {
			if baseOf(generation(id, n)) != id {
				t.Fatalf("%s is not found again in %s", id, generation(id, n))
			}
		}
	})
}
