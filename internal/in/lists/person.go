package lists

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/runenames"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

// NamedBy is the way in which somebody is named. The order is that of exactness.
type NamedBy uint8

const (
	UserID NamedBy = iota
	UnionID
	Mobile
	JobNumber
	Email
	Name
	// dingID has no column: nobody can be looked up by it.
	dingID
)

// Person is somebody as the input names them: the text is a user id, or what has to be looked up.
type Person struct {
	By   NamedBy `json:"Kind"` // as it is called in what Redis has
	Text string
}

// String is the person as --user and lists take them: mobile:13800001234, or the user id alone.
func (p Person) String() string {
	for name, kind := range namedByWords {
		if kind == p.By && kind != UserID {
			return name + ":" + clip(p.Text)
		}
	}
	return clip(p.Text)
}

// Hint is the person as their own number or name does not get known by it: mobile:…34. A user id stands as it is.
func (p Person) Hint() string {
	if p.By == UserID {
		return p.String()
	}
	name, text, _ := strings.Cut(p.String(), ":")
	last := []rune(text)
	return name + ":…" + string(last[len(last)-min(2, len(last)-1):])
}

// Role is a role as the input names it: by its id or, where that is 0, by its name or group/name.
type Role struct {
	ID   int64
	Name string
}

// namedByWords are what a kind is called in a list of people: mobile:13800001234.
var namedByWords = map[string]NamedBy{"user": UserID, "union": UnionID, "mobile": Mobile, "job": JobNumber, "email": Email, "name": Name}

// what a kind is in a sentence.
func (k NamedBy) what() texts.Text {
	switch k {
	case UnionID:
		return texts.T("a union id")
	case Mobile:
		return texts.T("a mobile number")
	case JobNumber:
		return texts.T("a staff number")
	case Email:
		return texts.T("an e-mail address")
	case Name:
		return texts.T("a name")
	case dingID:
		return texts.T("a dingId (openDingTalkId)")
	}
	return texts.T("a user id")
}

// mustLookUp says what a person or role that is no id takes.
func (k NamedBy) mustLookUp() texts.Text {
	return texts.T("%s is no user id and has to be looked up in DingTalk, which takes the app's credentials and --preflight", k.what())
}

// ParsePerson reads somebody as --user and lists name them: a user id, or mobile:…, job:…, union:…, email:…, name:….
// Without lookup only a user id will do.
func ParsePerson(text string, lookup bool) (Person, error) {
	if before, after, found := strings.Cut(text, ":"); found {
		if kind, known := namedByWords[before]; known {
			switch {
			case kind != UserID && !lookup:
				return Person{}, texts.T("%q: %s", clip(text), kind.mustLookUp())
			case strings.TrimSpace(after) == "":
				return Person{}, texts.T("%q names nobody: something has to stand behind the colon", clip(text))
			case kind != UserID:
				return Person{kind, strings.TrimSpace(after)}, nil
			}
			text = after
		}
	}
	if reason, bad := wrongUserID([]byte(text)); bad {
		return Person{}, reason
	}
	return Person{UserID, text}, nil
}

// wrongUserID says why DingTalk cannot know the user.
func wrongUserID(id []byte) (texts.Text, bool) {
	plain := len(id) > 0 && len(id) <= tasks.MaxUserIDLength
	for _, c := range id {
		plain = plain && '!' <= c && c <= '~' && c != ','
	}
	if plain {
		return texts.Text{}, false
	}
	if !utf8.Valid(id) || bytes.ContainsRune(id, utf8.RuneError) {
		return texts.T("user id %q has a character that could not be read: check the encoding of the file", clip(string(id))), true
	}
	for _, r := range string(id) {
		if odd(r) {
			return texts.T("user id %q has a sign in it that no id has: %s", clip(string(id)), nameOf(r)), true
		}
	}
	if err := tasks.ValidateUserID(string(id)); err != nil {
		return texts.T("%v", err), true
	}
	return texts.Text{}, false
}

// odd reports whether r is neither of ASCII nor a letter or digit that somebody may have an id of.
func odd(r rune) bool {
	return r > unicode.MaxASCII && !unicode.In(r, unicode.L, unicode.M, unicode.N) || 0xff01 <= r && r <= 0xff5e || r < ' ' && r != '\t' && r != '\n'
}

// nameOf is a sign by its name in Unicode.
func nameOf(r rune) string { return fmt.Sprintf("%s (U+%04X)", runenames.Name(r), r) }

var (
	// shortened is how spreadsheets show and save a number that is long for its column, in any language.
	shortened = regexp.MustCompile(`^[0-9]+([.,٫][0-9]+)?[eE]\+?[0-9]+$`)
	decimal   = regexp.MustCompile(`^[0-9]*\.[0-9]*$`)
	grouped   = regexp.MustCompile(`^[0-9]{1,3}([,.，' ][0-9]{3})+$`)
)

// sheetErrors are what a spreadsheet saves for a formula that failed.
var sheetErrors = map[string]bool{"#N/A": true, "#REF!": true, "#VALUE!": true, "#NAME?": true, "#DIV/0!": true,
	"#NUM!": true, "#NULL!": true, "#SPILL!": true, "#CALC!": true, "########": true}

// spoiledUserID says what a spreadsheet did to a text that is well-formed all the same.
func spoiledUserID(id []byte) (texts.Text, bool) {
	switch {
	case len(id) == 0:
	case id[0] <= '9' && bytes.ContainsAny(id, "eE") && bytes.ContainsAny(id, "+.,٫") && shortened.Match(id):
		return texts.T("user id %q was shortened by a spreadsheet and has lost digits: format the column as text and export it again", string(id)), true
	case thousands(id):
		return texts.T("user id %q has signs between its thousands: format the column as text and export it again", string(id)), true
	case id[0] == '#' && (sheetErrors[string(id)] || len(bytes.Trim(id, "#")) == 0):
		return texts.T("user id %q is what a spreadsheet shows where it has no value", string(id)), true
	}
	return texts.Text{}, false
}

// ParseRole reads a role as people write it: an id, a name, or GROUP/NAME.
func ParseRole(text string) (Role, error) {
	if id, err := ParseRoleID(text); err == nil {
		return Role{ID: id}, nil
	} else if text == "" || strings.Trim(text, "0123456789.,eE+-") == "" {
		return Role{}, err
	}
	return Role{Name: text}, nil
}

// ParseRoleID reads a role id as people and files write it: decimal digits of a positive int64, nothing else. The
// error says what the text looks like instead.
func ParseRoleID(text string) (int64, error) {
	id, ok := roleID([]byte(text))
	if !ok {
		return 0, wrongRoleID(text)
	}
	return id, nil
}

func roleID(text []byte) (int64, bool) {
	var id int64
	for _, c := range text {
		d := int64(c) - '0'
		if d < 0 || d > 9 || id > (math.MaxInt64-d)/10 {
			return 0, false
		}
		id = 10*id + d
	}
	return id, id > 0 && text[0] != '0'
}

func wrongRoleID(text string) texts.Text {
	shown := clip(text)
	switch {
	case text == "":
		return texts.T("role id is empty")
	case shortened.MatchString(text):
		return texts.T("role id %q was shortened by a spreadsheet and has lost digits: format the column as text and export it again", shown)
	case grouped.MatchString(text):
		return texts.T("role id %q has signs between its thousands: format the column as text and export it again", shown)
	case decimal.MatchString(text):
		return texts.T("role id %q has a decimal point: format the column as text and export it again", shown)
	case sheetErrors[text]:
		return texts.T("role id %q is what a spreadsheet shows where it has no value", shown)
	case strings.Trim(text, "0") == "", text[0] == '-' && onlyDigits(text[1:]):
		return texts.T("role id %q is not positive", shown)
	case text[0] == '0' && onlyDigits(text):
		return texts.T("role id %q has leading zeros", shown)
	case onlyDigits(text):
		return texts.T("role id %q is larger than any role id", shown)
	}
	for _, r := range text {
		if odd(r) && !unicode.IsSpace(r) {
			return texts.T("role id %q has a sign in it that no id has: %s", shown, nameOf(r))
		}
	}
	return texts.T("role id %q is not a whole number", shown)
}

func onlyDigits[T ~string | ~[]byte](s T) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

// clip shortens foreign text for a message.
func clip(s string) string { return words.Clip(s, 80) }

// listed are the first ten of some names, in quotes.
func listed(names []string) string {
	shown := make([]string, 0, 11)
	for _, name := range names[:min(len(names), 10)] {
		shown = append(shown, fmt.Sprintf("%q", clip(name)))
	}
	if len(names) > 10 {
		shown = append(shown, fmt.Sprintf("… (%d)", len(names)))
	}
	return strings.Join(shown, ", ")
}
