package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseListsAndFiles(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users")
	write(t, users, "\ufeff# the board\r\n ceo, cfo # both of them\r\n\r\n007\n张三\nwith#sharp")
	roles := filepath.Join(dir, "roles")
	write(t, roles, "1507113578\n2 3")
	for _, tt := range []struct{ users, roles string }{
		{"ceo,cfo, 007 张三,with#sharp,", "1507113578,2,3"},
		{"@" + users, " @" + roles},
	} {
		s, err := Parse(tt.users, tt.roles)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"ceo", "cfo", "007", "张三", "with#sharp"} {
			if !s.User(id) {
				t.Errorf("%q: user %s is not protected", tt.users, id)
			}
		}
		for _, id := range []string{"7", "CEO2", "#", "both", ""} {
			if s.User(id) {
				t.Errorf("%q: user %q is protected", tt.users, id)
			}
		}
		for _, id := range []int64{1507113578, 2, 3} {
			if !s.Role(id) {
				t.Errorf("%q: role %d is not protected", tt.roles, id)
			}
		}
		if u, r := s.Len(); u != 5 || r != 3 || s.Role(4) || s.Empty() {
			t.Errorf("%d users and %d roles, want 5 and 3", u, r)
		}
	}
}

func TestNothingProtected(t *testing.T) {
	s, err := Parse("", " ")
	if err != nil || !s.Empty() || s.User("") || s.Role(0) {
		t.Errorf("Parse of nothing: %+v, %v", s, err)
	}
}

// TestParseFailsClosed: a list that cannot be read in full must not protect in part.
func TestParseFailsClosed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	write(t, file, "a\nb\u200bc\n")
	long := filepath.Join(dir, "long")
	write(t, long, "a\n"+strings.Repeat("x", 2<<20))
	for _, tt := range []struct{ users, roles, want string }{
		{"@" + file, "", "protected users: " + file + `:2: user id "b\u200bc" has a control character`},
		{"@" + long, "", "protected users: " + long + ":2: the line is longer than 1,048,576 bytes"},
		{"@" + filepath.Join(dir, "missing"), "", "no such file"},
		{"@", "", "protected users: @ is not followed by the name of a file"},
		{"a\xff", "", "protected users: user id is not valid UTF-8"},
		{"", "x", `protected roles: role id "x" is not a whole number`},
		{"", "@" + file, "protected roles: " + file + `:1: role id "a" is not a whole number`},
		{"", "0", "protected roles: role id 0 is not positive"},
	} {
		s, err := Parse(tt.users, tt.roles)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !s.Empty() {
			t.Errorf("Parse(%q, %q) = %+v, %v; want %q", tt.users, tt.roles, s, err, tt.want)
		}
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
