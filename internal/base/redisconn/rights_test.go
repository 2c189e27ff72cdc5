package redisconn

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/test/redistest"
)

func TestEveryRightThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	admin := s.Client()
	missing := func(t *testing.T, rules ...string) []string {
		t.Helper()
		args := []any{"ACL", "SETUSER", "unrole", "reset", "on", ">right"}
		for _, r := range append(ACL(false), rules...) {
			args = append(args, r)
		}
		do(t, admin, args...)
		client := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "unrole", Password: "right", DisableIdentity: true})
		defer client.Close()
		names, err := MissingRights(t.Context(), client)
		if err != nil {
			t.Error(err)
		}
		return names
	}
	if names := missing(t); len(names) > 0 {
		t.Fatalf("the smallest user misses %q", names)
	}
	for _, command := range commands() {
		if slices.Contains([]string{"hello", "select", "multi", "exec", "psubscribe", "unsubscribe", "punsubscribe", "eval"}, command) {
			continue // every user has them, or none without its like
		}
		names := missing(t, "-"+command)
		if len(names) == 0 || !strings.Contains(strings.Join(names, " "), "+"+command) {
			t.Errorf("without %s: %q", command, names)
		}
	}
	for rules, want := range map[string]string{"resetkeys ~asynq:*": "~unrole:*", "resetkeys ~unrole:*": "~asynq:*",
		"resetchannels": "&asynq:*", "resetchannels &asynq:*": "&unrole:*"} {
		if names := missing(t, strings.Fields(rules)...); !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("with %s: %q", rules, names)
		}
	}
	if keys := redistest.Keys(t, admin); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}

func TestTheDocumentedUserIsTheSmallest(t *testing.T) {
	page, err := os.ReadFile("../../../docs/operate.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := strings.Join(strings.Fields(strings.ReplaceAll(string(page), "\\\n", " ")), " ")
	if want := strings.Join(ACL(false), " "); !strings.Contains(shown, want) {
		t.Errorf("docs/operate.md does not have it: %s", want)
	}
}
