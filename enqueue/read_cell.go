package enqueue

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

var (
	// shortened is how spreadsheets show and save a number that is long for its column.
	shortened = regexp.MustCompile(`^[0-9](\.[0-9]+)?[eE]\+?[0-9]+$`)
	decimal   = regexp.MustCompile(`^[0-9]*\.[0-9]*$`)
	grouped   = regexp.MustCompile(`^[0-9]+([,，][0-9]*)+$`)
)

// sheetErrors are what a spreadsheet saves for a formula that failed.
var sheetErrors = map[string]bool{"#N/A": true, "#REF!": true, "#VALUE!": true, "#NAME?": true, "#DIV/0!": true,
	"#NUM!": true, "#NULL!": true}

// ParseRoleID reads a role id as people and files write it: decimal digits of a positive int64, nothing else. The
// error says what the text looks like instead.
func ParseRoleID(text string) (int64, error) { return parseRoleID([]byte(text)) }

func parseRoleID(text []byte) (int64, error) {
	var id int64
	for _, c := range text {
		d := int64(c) - '0'
		if d < 0 || d > 9 || id > (math.MaxInt64-d)/10 {
			return 0, wrongRoleID(string(text))
		}
		id = 10*id + d
	}
	if id == 0 || text[0] == '0' {
		return 0, wrongRoleID(string(text))
	}
	return id, nil
}

func wrongRoleID(text string) error {
	shown := clip(text)
	switch {
	case text == "":
		return fmt.Errorf("role id is empty")
	case shortened.MatchString(text):
		return fmt.Errorf("role id %q was shortened by a spreadsheet and has lost digits: format the column as text and export it again", shown)
	case decimal.MatchString(text):
		return fmt.Errorf("role id %q has a decimal point: format the column as text and export it again", shown)
	case grouped.MatchString(text):
		return fmt.Errorf("role id %q has a comma: separate ids by semicolons or blanks, and write them without thousands separators", shown)
	case sheetErrors[text]:
		return fmt.Errorf("role id %q is the error of a spreadsheet formula", shown)
	case strings.Trim(text, "0") == "":
		return fmt.Errorf("role id %q is not positive", shown)
	case text[0] == '-' && onlyDigits(text[1:]):
		return fmt.Errorf("role id %q is not positive", shown)
	case text[0] == '0' && onlyDigits(text):
		return fmt.Errorf("role id %q has leading zeros", shown)
	case onlyDigits(text):
		return fmt.Errorf("role id %q is larger than any role id (%d)", shown, int64(math.MaxInt64))
	}
	return fmt.Errorf("role id %q is not a whole number", shown)
}

func onlyDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// checkUserID returns why DingTalk cannot know the user, or "". Users that were taken before need no second look.
func (in *input) checkUserID(id []byte) string {
	if _, known := in.set.userPos[string(id)]; known {
		return ""
	}
	if err := tasks.ValidateUserID(string(id)); err != nil {
		return err.Error()
	}
	if bytes.ContainsRune(id, utf8.RuneError) {
		return fmt.Sprintf("user id %q has a character that could not be read: check the encoding of the file", clip(string(id)))
	}
	return ""
}

// checkSheetUserID is checkUserID for text that may have been through a spreadsheet.
func (in *input) checkSheetUserID(id []byte) string {
	if _, known := in.set.userPos[string(id)]; known {
		return ""
	}
	if reason := in.checkUserID(id); reason != "" {
		return reason
	}
	switch {
	case bytes.IndexByte(id, '+') >= 0 && shortened.Match(id):
		return fmt.Sprintf("user id %q was shortened by a spreadsheet and has lost digits: format the column as text and export it again", id)
	case sheetErrors[string(id)]:
		return fmt.Sprintf("user id %q is the error of a spreadsheet formula", id)
	}
	if in.text.ambiguous && beyondASCII(id) < len(id) {
		return fmt.Sprintf("user id %q may be UTF-8 or GB18030, the file does not tell: save it as CSV UTF-8 (with a byte order mark)", clip(string(id)))
	}
	return ""
}

// clip shortens foreign text for a message.
func clip(s string) string { return words.Clip(s, 80) }
