package combine_test

import (
	"fmt"

	"github.com/unrole/unrole/internal/base/pairs"
	"github.com/unrole/unrole/internal/out/combine"
)

// Three removals wait for a slot, one of them in a more urgent lane. The first call serves the urgent one, and whoever wants
// the same roles comes along.
func ExamplePool() {
	const urgent, bulk = 0, 2
	pool := combine.NewPool(pairs.Size{Users: 100, Roles: 20})
	pool.Add(combine.NewOffer(bulk, []string{"anna"}, []int64{1, 2}, nil, nil))
	pool.Add(combine.NewOffer(bulk, []string{"bert"}, []int64{3}, nil, nil))
	pool.Add(combine.NewOffer(urgent, []string{"carla"}, []int64{1, 2}, nil, nil))
	for {
		call, ok := pool.Next()
		if !ok {
			break
		}
		fmt.Println("roles", call.Roles, "of", call.Users, "for", len(call.Members), "removals")
		pool.Done(call) // DingTalk has taken it
	}
	// Output:
	// roles [1 2] of [carla anna] for 2 removals
	// roles [3] of [bert] for 1 removals
}
