package protect

import (
	"strings"
	"testing"
)

// FuzzEachLine: a file is read whole or refused. An id on a line before or after anything that can be read is protected,
// and one that cannot be an id is found wherever it stands.
func FuzzEachLine(f *testing.F) {
	for _, seed := range []string{"", "a,b c\n# no\r\nd #e", "\ufeffa", "#", "a#b", "\x00", "a\u200bb", strings.Repeat(",", 300)} {
		f.Add(seed)
	}
	read := func(text string) (*ids, error) {
		s := &ids{users: map[string]struct{}{}, roles: map[int64]struct{}{}}
		err := eachLine(strings.NewReader(text), "file", s.addUser)
		return s, err
	}
	has := func(s *ids, id string) bool { _, ok := s.users[fold(id)]; return ok }
	f.Fuzz(func(t *testing.T, text string) {
		s, err := read(text)
		if err != nil {
			return
		}
		around, err := read("first\n" + strings.TrimPrefix(text, "\ufeff") + "\nlast")
		if err != nil || !has(around, "first") || !has(around, "last") {
			t.Errorf("between two ids: %v, %v", around, err)
		}
		for id := range s.users {
			if !has(around, id) {
				t.Errorf("%q is protected alone only", id)
			}
		}
		if _, err := read(text + "\nnot\u200ban-id\n"); err == nil {
			t.Error("a line that is no id is passed over")
		}
	})
}
