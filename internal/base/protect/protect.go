// Package protect knows the users and roles that unrole must never touch, whoever asks.
package protect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/unrole/unrole/tasks"
)

// Set is the protected users and roles. The zero value protects nobody. It is read-only once made.
type Set struct {
	users map[string]struct{}
	roles map[int64]struct{}
}

// Parse reads UNROLE_PROTECTED_USERS and UNROLE_PROTECTED_ROLES. Each is empty, a list of ids separated by commas or
// blanks, or @FILE: the same, on any number of lines, # starting a comment at the beginning of a line or after a blank.
// User ids are compared byte for byte, as DingTalk does. Any id that cannot be one is an error, and so is a file that
// cannot be read: somebody believes it to be protected.
func Parse(users, roles string) (Set, error) {
	var s Set
	if err := each(users, s.addUser); err != nil {
		return Set{}, fmt.Errorf("protected users: %w", err)
	}
	if err := each(roles, s.addRole); err != nil {
		return Set{}, fmt.Errorf("protected roles: %w", err)
	}
	return s, nil
}

func (s *Set) addUser(id string) error {
	if err := tasks.ValidateUserID(id); err != nil {
		return err
	}
	if s.users == nil {
		s.users = make(map[string]struct{})
	}
	s.users[id] = struct{}{}
	return nil
}

func (s *Set) addRole(text string) error {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return fmt.Errorf("role id %.80q is not a whole number", text)
	}
	if err := tasks.ValidateRoleID(id); err != nil {
		return err
	}
	if s.roles == nil {
		s.roles = make(map[int64]struct{})
	}
	s.roles[id] = struct{}{}
	return nil
}

// User reports whether the user is protected.
func (s Set) User(id string) bool { _, ok := s.users[id]; return ok }

// Role reports whether the role is protected.
func (s Set) Role(id int64) bool { _, ok := s.roles[id]; return ok }

// Empty reports whether nothing is protected.
func (s Set) Empty() bool { return len(s.users)+len(s.roles) == 0 }

// Len is the number of protected users and of protected roles.
func (s Set) Len() (users, roles int) { return len(s.users), len(s.roles) }

// each calls add for every id of a list or @FILE.
func each(list string, add func(id string) error) error {
	list = strings.TrimSpace(list)
	name, isFile := strings.CutPrefix(list, "@")
	if !isFile {
		for _, id := range strings.FieldsFunc(list, separates) {
			if err := add(id); err != nil {
				return err
			}
		}
		return nil
	}
	if name == "" {
		return errors.New("@ is not followed by the name of a file")
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachLine(f, name, add)
}

func eachLine(r io.Reader, name string, add func(id string) error) error {
	const longest = 1 << 20
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longest)
	n := 0
	for lines.Scan() {
		n++
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		for _, id := range strings.FieldsFunc(withoutComment(line), separates) {
			if err := add(id); err != nil {
				return fmt.Errorf("%s:%d: %w", name, n, err)
			}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: the line is longer than %d bytes", name, n+1, longest)
	} else if err != nil {
		return fmt.Errorf("%s:%d: %w", name, n+1, err)
	}
	return nil
}

func withoutComment(line string) string {
	for i := range len(line) {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

func separates(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' }
