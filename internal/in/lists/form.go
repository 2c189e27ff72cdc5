package lists

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/unrole/unrole/internal/base/texts"
)

// The forms of what is no user id.
var (
	mobileForm = regexp.MustCompile(`^((\+|00)?86[- ]?)?1[3-9][0-9]([- ]?[0-9]{4}){2}$|^\+[0-9]{1,4}-?[0-9]{5,12}$`)
	emailForm  = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s.]+$`)
	unionForm  = regexp.MustCompile(`^[A-Za-z0-9]{18,}iE$`)
)

// formOf says as what somebody is named by a text that has not the form of a user id.
func formOf(id string) (form NamedBy, is bool) {
	switch {
	case strings.HasPrefix(id, "$:LWCP"):
		return dingID, true
	case strings.Contains(id, "@") && emailForm.MatchString(id):
		return Email, true
	case len(id) >= 11 && (id[0] == '1' && len(id) <= 13 || id[0] == '+' || id[0] == '0' || id[0] == '8') && mobileForm.MatchString(id):
		return Mobile, true
	case len(id) >= 20 && unionForm.MatchString(id):
		return UnionID, true
	case strings.ContainsFunc(id, han) && !strings.ContainsAny(id, "0123456789"):
		return Name, true
	}
	return UserID, false
}

// Doubt says what a user id looks like, where that is something else.
func Doubt(id string) (texts.Text, bool) {
	form, is := formOf(id)
	if !is {
		return texts.Text{}, false
	}
	return texts.T("%q looks like %s, not like a user id", clip(id), form.what()), true
}

// Plausible reports whether a user and a role have the form of ids, and not that of a total, a name, or of what a
// spreadsheet makes of an id.
func Plausible(user string, role int64) bool {
	_, doubtful := formOf(user)
	return !doubtful && !isTotal([]byte(user)) && !spoiled(user) && !spoiled(strconv.FormatInt(role, 10))
}

// spoiled reports whether digits end as a spreadsheet ends a number: in zeros from the 16th on.
func spoiled(id string) bool {
	return len(id) > 15 && onlyDigits(id) && strings.Trim(id[15:], "0") == ""
}

// other takes somebody who will be looked up. What has the form of something else than its column has is refused: looked up it would
// be found nowhere, or be somebody else.
func (in *input) other(at place, c column, value string) {
	kind := c.field.kind()
	if value == "" {
		in.problem(at, c.name, texts.T("%s is empty", c.name))
		return
	}
	is := map[NamedBy]func() bool{
		Mobile: func() bool { return mobileForm.MatchString(value) },
		Email:  func() bool { return emailForm.MatchString(value) },
	}[kind]
	if is != nil && !is() {
		in.problem(at, c.name, texts.T("%q is not %s, which the column %q has", clip(value), kind.what(), c.name))
		return
	}
	if form, is := formOf(value); is && form != kind && (kind != JobNumber || form != Mobile) { // digits may be a staff number
		in.problem(at, c.name, texts.T("%q looks like %s, and the column %q has something else: %s", clip(value), form.what(), c.name, kind.what()))
		return
	}
	in.row.People = append(in.row.People, Person{kind, value})
	in.places = append(in.places, at)
}
