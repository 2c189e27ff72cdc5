// Package leavers takes the roles of people who are leaving, by DingTalk's own HR and the rule of a file.
package leavers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the container has no time zones of its own

	"go.yaml.in/yaml/v3"

	"github.com/unrole/unrole/internal/base/forget"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// Rule is what is done about people who are leaving.
type Rule struct {
	// Automatic lets jobs begin without anybody's approval.
	Automatic bool
	// Departments are those, by name or id, in or below which somebody has to be; none means all. Except are those that are
	// left alone.
	Departments, Except []string
	// Keep are roles that nobody loses.
	Keep []lists.Role
	// Zone is where the organisation's days begin; Hour and Minute are of the last working day, Grace is in days after it.
	Zone                *time.Location
	Hour, Minute, Grace int
	// MaxUsers is how many new leavers one look may find without all of them becoming proposals.
	MaxUsers int
	// Every is how often HR is asked.
	Every time.Duration
}

// What a file that leaves it out means.
const (
	defaultTime     = "18:00"
	defaultZone     = "Asia/Shanghai"
	defaultMaxUsers = 20
	defaultEvery    = 10 * time.Minute
	leastEvery      = 10 * time.Second
	mostGrace       = 365
)

// DefaultZone is where days begin for who has no rule: China, which has one time all year.
var DefaultZone = time.FixedZone("CST", 8*60*60)

// ruleFile is a rule as it is written, in YAML.
type ruleFile struct {
	Mode        string   `yaml:"mode"`
	Departments []string `yaml:"departments"`
	Except      []string `yaml:"except_departments"`
	Keep        []string `yaml:"keep_roles"`
	Time        string   `yaml:"time"`
	Zone        string   `yaml:"time_zone"`
	Grace       int      `yaml:"grace_days"`
	MaxUsers    *int     `yaml:"max_users"`
	Every       string   `yaml:"every"`
}

var clock = regexp.MustCompile(`^([01][0-9]|2[0-3]):([0-5][0-9])$`)

// ParseRule reads a rule. Its error has a line for everything that is wrong.
func ParseRule(data []byte) (Rule, error) {
	f := ruleFile{Mode: "propose", Time: defaultTime, Zone: defaultZone, Every: defaultEvery.String()}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return Rule{}, err
	}
	var faults []error
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	r := Rule{Automatic: f.Mode == "automatic", Departments: f.Departments, Except: f.Except, Grace: f.Grace, MaxUsers: defaultMaxUsers}
	if f.Mode != "propose" && !r.Automatic {
		wrong("mode: %q is neither propose nor automatic", f.Mode)
	}
	for _, text := range f.Keep {
		role := lists.Role{Name: strings.TrimSpace(text)}
		if id, err := lists.ParseRoleID(text); err == nil {
			role = lists.Role{ID: id}
		} else if role.Name == "" {
			wrong("keep_roles: an empty name: write the id, the name or GROUP/NAME of a role")
		}
		r.Keep = append(r.Keep, role)
	}
	if at := clock.FindStringSubmatch(f.Time); at != nil {
		r.Hour, _ = strconv.Atoi(at[1])
		r.Minute, _ = strconv.Atoi(at[2])
	} else {
		wrong("time: %q is not a time of day such as \"18:00\"", f.Time)
	}
	var err error
	if r.Zone, err = time.LoadLocation(f.Zone); err != nil || f.Zone == "" || f.Zone == "Local" {
		wrong("time_zone: %q is not a time zone such as Asia/Shanghai", f.Zone)
	}
	if f.Grace < 0 || f.Grace > mostGrace {
		wrong("grace_days: %d is not a number of days from 0 to %d", f.Grace, mostGrace)
	}
	if f.MaxUsers != nil {
		r.MaxUsers = *f.MaxUsers
	}
	if r.MaxUsers < 1 {
		wrong("max_users: %d is not a number of people from 1", r.MaxUsers)
	}
	if r.Every, err = time.ParseDuration(f.Every); err != nil || r.Every < leastEvery {
		wrong("every: %q is not a duration of at least %v, such as 10m", f.Every, leastEvery)
	}
	return r, errors.Join(faults...)
}

// Stage is how far somebody's departure is.
type Stage string

const (
	// Staying is the zero value in meaning: nobody leaves of whom that is not known.
	Staying   Stage = "staying"
	Undecided Stage = "undecided" // an approval is under way
	Leaving   Stage = "leaving"
	Left      Stage = "left"
	Rehired   Stage = "rehired"
)

// Leaver is somebody whose departure was looked at.
type Leaver struct {
	UserID, Name string
	Stage        Stage
	// LastDay is some moment of the last working day; zero where it is not known.
	LastDay time.Time
	// Departments are their own and all those above; Main is the first of them. Known says that they could be read.
	Departments []dingtalk.Department
	Known       bool
	Admin       bool
	// Roles are those held that can be taken, without those of the default group.
	Roles []dingtalk.Role
	// Present is whether they are in the directory; Hidden that nobody can tell, since they are out of the app's contact scope.
	Present, Hidden bool
}

// Main is the name of their department; empty where it has none.
func (l Leaver) Main() string {
	if len(l.Departments) == 0 {
		return ""
	}
	return l.Departments[0].Name
}

// Ruling is what a rule says of somebody.
type Ruling struct {
	// Act is whether their roles are taken, at Due; Why says why not.
	Act bool
	Due time.Time
	Why texts.Text
}

// Judge says what is to be done about somebody. Nobody loses anything who stays or was hired again, before the last working day,
// or on a day that is not known.
func (r Rule) Judge(l Leaver) Ruling {
	switch {
	case l.Stage == Rehired:
		return Ruling{Why: texts.T("works here again")}
	case l.Stage == Undecided:
		return Ruling{Why: texts.T("the departure is still being approved")}
	case l.Stage != Leaving && l.Stage != Left:
		return Ruling{Why: texts.T("stays")}
	case l.Hidden:
		return Ruling{Why: texts.T("DingTalk does not show them, as out of the app's contact scope: nothing is certain")}
	case l.Admin:
		return Ruling{Why: texts.T("an administrator of the organisation, who is protected")}
	case (len(r.Departments) > 0 || len(r.Except) > 0) && !l.Known:
		return Ruling{Why: texts.T("the department is not known, and the rule asks for it")}
	case len(r.Departments) > 0 && !within(r.Departments, l.Departments):
		return Ruling{Why: texts.T("in none of the rule's departments")}
	case within(r.Except, l.Departments):
		return Ruling{Why: texts.T("in a department that the rule leaves alone")}
	case l.LastDay.IsZero():
		return Ruling{Why: texts.T("the last working day is not known")}
	}
	return Ruling{Act: true, Due: r.Due(l.LastDay)}
}

// New is Judge of somebody who has no job yet.
func (r Rule) New(l Leaver, now time.Time) Ruling {
	v := r.Judge(l)
	switch {
	case v.Act && v.Due.Before(now.Add(-FirstLook)):
		return Ruling{Why: texts.T("it was due more than 30 days ago")}
	case v.Act && l.Present && len(l.Roles) == 0:
		return Ruling{Why: texts.T("no role to take")}
	}
	return v
}

// What becomes of somebody, in a word.
const (
	Schedule = "schedule"
	Propose  = "propose"
	Nothing  = "nothing"
)

// Would is what workers do about somebody who has no job yet: in a word, and said.
func (r Rule) Would(l Leaver, now time.Time) (string, texts.Text) {
	v := r.New(l, now)
	at := v.Due.Format("2006-01-02 15:04 -0700")
	switch {
	case !v.Act:
		return Nothing, texts.T("nothing: %s", v.Why)
	case !r.Automatic:
		return Propose, texts.T("proposed, for %s", at)
	}
	return Schedule, texts.T("all roles taken at %s", at)
}

// Due is when roles are taken of somebody with that last working day.
func (r Rule) Due(lastDay time.Time) time.Time {
	y, m, d := r.Day(lastDay).Date()
	return time.Date(y, m, d+r.Grace, r.Hour, r.Minute, 0, 0, r.Zone)
}

// Day is the calendar day of some moment of a last working day, in UTC. HR gives midnight in China, which is the day before west of it:
// of the days in China and in the rule's zone the later one is meant.
func (r Rule) Day(lastDay time.Time) time.Time {
	day := func(zone *time.Location) time.Time {
		y, m, d := lastDay.In(zone).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	here, china := day(r.Zone), day(DefaultZone)
	if here.After(china) {
		return here
	}
	return china
}

func within(named []string, departments []dingtalk.Department) bool {
	return slices.ContainsFunc(departments, func(d dingtalk.Department) bool {
		return slices.Contains(named, d.Name) || slices.Contains(named, strconv.FormatInt(d.ID, 10))
	})
}

const prefix = "leaver-"

var plainID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// JobID is the name of the job that takes somebody's roles on a last working day: the same from every process and at any time.
func (r Rule) JobID(userID string, lastDay time.Time) string {
	if !plainID.MatchString(userID) {
		userID = "." + forget.Hash(userID)
	}
	return prefix + r.Day(lastDay).Format("20060102") + "-" + userID
}

// baseOf is a job's name without the number of its generation.
func baseOf(jobID string) string {
	if i := strings.LastIndex(jobID, ".v"); i > 0 {
		if _, err := strconv.Atoi(jobID[i+2:]); err == nil {
			return jobID[:i]
		}
	}
	return jobID
}

// generation is the name of the nth job of a base.
func generation(base string, n int) string {
	if n == 1 {
		return base
	}
	return base + ".v" + strconv.Itoa(n)
}
