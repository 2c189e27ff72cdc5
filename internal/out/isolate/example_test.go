package isolate_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/unrole/unrole/internal/out/isolate"
)

// Eight users, the sixth of whom DingTalk does not know.
func ExampleRun() {
	send := func(_ context.Context, roles, users []int) (isolate.Answer, error) {
		if slices.Contains(users, 5) {
			fmt.Println("users", users, "refused")
			return isolate.Answer{Blame: isolate.BlameUser, Cause: "33012"}, nil
		}
		fmt.Println("users", users, "removed")
		return isolate.Answer{Passed: true}, nil
	}
	first := isolate.Answer{Blame: isolate.BlameUser, Cause: "33012"}
	result, err := isolate.Run(context.Background(), 1, 8, first, isolate.Options{}, send)
	fmt.Println("bad:", result.BadUsers, err)
	// Output:
	// users [0 1 2] removed
	// users [3 4] removed
	// users [5] refused
	// users [6 7] removed
	// bad: map[5:33012] <nil>
}
