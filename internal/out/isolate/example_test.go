package isolate_test

import (
	"context"
	"fmt"
	"slices"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/isolate"
)

// Eight users, the sixth of whom DingTalk does not know.
func ExampleRun() {
	send := func(_ context.Context, call pairs.Rectangle) (isolate.Answer, error) {
		if slices.Contains(call.Users, 5) {
			fmt.Println("users", call.Users, "refused")
			return isolate.Answer{Blame: isolate.BlameUser, Cause: "33012"}, nil
		}
		fmt.Println("users", call.Users, "removed")
		return isolate.Answer{Passed: true}, nil
	}
	first := isolate.Answer{Blame: isolate.BlameUser, Cause: "33012"}
	result, err := isolate.Run(context.Background(), pairs.Size{Users: 8, Roles: 1}, first, isolate.Options{}, send)
	fmt.Println("bad:", result.BadUsers, err)
	// Output:
	// users [0 1 2] removed
	// users [3 4] removed
	// users [5] refused
	// users [6 7] removed
	// bad: map[5:33012] <nil>
}
