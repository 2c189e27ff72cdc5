// Package protect knows the users and roles that unrole must never touch, whoever asks.
package protect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/text/width"

	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

// Set is the protected users and roles. The zero value protects nobody. It may be used by several goroutines at once.
//
// User ids are compared without case and width, since people write them so: Manager4220 is manager4220. A set that came
// from files follows them: what is written into one counts within a second, in every process that reads it. While a
// changed file cannot be read, or has what cannot be an id, the set stays as it was, and whoever was named to Told hears
// of it.
type Set struct{ *live }

type live struct {
	users, roles string // as given to Parse
	files        []string

	mu     sync.Mutex
	ids    atomic.Pointer[ids]
	looked atomic.Int64 // when the files were looked at last, in Unix nanoseconds
	seen   []fileState  // of files, when ids was read
	told   func(error)
}

type ids struct {
	users map[string]struct{} // folded
	roles map[int64]struct{}
}

type fileState struct {
	changed time.Time
	size    int64
}

// lookEvery is how often the files are looked at.
const lookEvery = time.Second

// Parse reads UNROLE_PROTECTED_USERS and UNROLE_PROTECTED_ROLES. Each is empty, a list of ids separated by commas or
// blanks, or @FILE: the same, on any number of lines, # starting a comment at the beginning of a line or after a blank.
// Any id that cannot be one is an error, and so is a file that cannot be read: somebody believes it to be protected.
func Parse(users, roles string) (Set, error) {
	l := &live{users: users, roles: roles}
	for _, list := range []string{users, roles} {
		if name, isFile := strings.CutPrefix(strings.TrimSpace(list), "@"); isFile {
			l.files = append(l.files, name)
		}
	}
	l.seen = l.states()
	l.looked.Store(time.Now().UnixNano())
	now, err := l.read()
	if err != nil {
		return Set{}, err
	}
	l.ids.Store(now)
	return Set{l}, nil
}

// Told has errors of reading a file again told to f.
func (s Set) Told(f func(error)) Set {
	if s.live != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = f
	}
	return s
}

func (l *live) read() (*ids, error) {
	now := &ids{users: make(map[string]struct{}), roles: make(map[int64]struct{})}
	if err := each(l.users, now.addUser); err != nil {
		return nil, texts.T("protected users: %v", err)
	}
	if err := each(l.roles, now.addRole); err != nil {
		return nil, texts.T("protected roles: %v", err)
	}
	return now, nil
}

func (l *live) states() []fileState {
	states := make([]fileState, len(l.files))
	for i, name := range l.files {
		if info, err := os.Stat(name); err == nil {
			states[i] = fileState{info.ModTime(), info.Size()}
		}
	}
	return states
}

// current is what is protected now.
func (s Set) current() *ids {
	if s.live == nil {
		return &ids{}
	}
	if now := time.Now().UnixNano(); len(s.files) > 0 && now-s.looked.Load() >= int64(lookEvery) {
		s.look(now)
	}
	return s.ids.Load()
}

// look reads the files again if they changed.
func (l *live) look(now int64) {
	if !l.mu.TryLock() {
		return // somebody is at it
	}
	defer l.mu.Unlock()
	l.looked.Store(now)
	states := l.states()
	if slices.Equal(states, l.seen) {
		return
	}
	l.seen = states
	read, err := l.read()
	switch {
	case err == nil:
		l.ids.Store(read)
	case l.told != nil:
		l.told(err)
	}
}

func (i *ids) addUser(id string) error {
	if err := tasks.ValidateUserID(id); err != nil {
		return err
	}
	i.users[fold(id)] = struct{}{}
	return nil
}

func (i *ids) addRole(text string) error {
	id, err := strconv.ParseInt(width.Narrow.String(text), 10, 64)
	if err != nil {
		return texts.T("role id %q is not a whole number", words.Clip(text, 80))
	}
	if err := tasks.ValidateRoleID(id); err != nil {
		return err
	}
	i.roles[id] = struct{}{}
	return nil
}

// fold is an id without what people do not see as a difference.
func fold(id string) string { return strings.ToLower(width.Fold.String(id)) }

// User reports whether the user is protected.
func (s Set) User(id string) bool {
	now := s.current()
	if len(now.users) == 0 {
		return false
	}
	_, ok := now.users[fold(id)]
	return ok
}

// Role reports whether the role is protected.
func (s Set) Role(id int64) bool { _, ok := s.current().roles[id]; return ok }

// Empty reports whether nothing is protected, nor can be by what is written into a file.
func (s Set) Empty() bool {
	users, roles := s.Len()
	return users+roles == 0 && (s.live == nil || len(s.files) == 0)
}

// Len is the number of protected users and of protected roles.
func (s Set) Len() (users, roles int) {
	now := s.current()
	return len(now.users), len(now.roles)
}

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
		return texts.T("@ is not followed by the name of a file")
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
		return texts.T("%s: the line is longer than %d bytes", name+":"+strconv.Itoa(n+1), longest)
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
