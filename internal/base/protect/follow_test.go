package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestWhatIsWrittenIntoTheFileCountsWithinASecond(t *testing.T) {
	file := filepath.Join(t.TempDir(), "protected.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("manager4220\n")
	synctest.Test(t, func(t *testing.T) {
		var told []string
		set, err := Parse("@"+file, "")
		if err != nil {
			t.Fatal(err)
		}
		set = set.Told(func(err error) { told = append(told, err.Error()) })
		if !set.User("manager4220") || set.User("director") {
			t.Fatal("not what the file says")
		}
		write("manager4220\ndirector\n")
		time.Sleep(lookEvery)
		if !set.User("director") {
			t.Error("what was added is not protected")
		}
		write("a,b c\x01\n")
		time.Sleep(lookEvery)
		if !set.User("director") || len(told) != 1 || !strings.Contains(told[0], "protected.txt:1") {
			t.Errorf("a file that cannot be read takes the protection away, or nobody is told: %q", told)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		if !set.User("director") || len(told) != 2 {
			t.Errorf("a file that is gone takes the protection away, or nobody is told: %q", told)
		}
		write("director\n")
		time.Sleep(lookEvery)
		if set.User("manager4220") || !set.User("director") {
			t.Error("what was taken out is still protected")
		}
	})
}

// Whoever writes an id in another case or width means the same person.
func TestCaseAndWidthProtectNobodyLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[A-Za-z0-9._-]{1,20}`).Draw(t, "id")
		set, err := Parse(id, "")
		if err != nil {
			t.Fatal(err)
		}
		wide := strings.Map(func(r rune) rune { return r - '!' + '！' }, id)
		for _, written := range []string{id, strings.ToUpper(id), strings.ToLower(id), wide} {
			if !set.User(written) {
				t.Fatalf("%q is protected, %q is not", id, written)
			}
		}
		if set.User(id + "x") {
			t.Fatal("protects another")
		}
	})
}
