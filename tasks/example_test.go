package tasks_test

import (
	"fmt"

	"github.com/unrole/unrole/tasks"
)

// A part of a job as it lies in Redis: two users and two roles, where bert's role 12 is another part's to count.
func ExamplePart() {
	part := tasks.Part{V: tasks.Version, JobID: "2026-layoff", Part: "3", RoleIDs: []int64{11, 12}, UserIDs: []string{"anna", "bert"}, Own: []byte{0b0111}}
	data, err := part.Encode()
	fmt.Println(part.TaskID(), string(data), err)

	read, err := tasks.Decode(data)
	fmt.Println(read.Owned(), "of", read.Pairs(), "pairs are its own:", err)
	for user, role := range read.EachOwned() {
		fmt.Println(user, role)
	}
	// Output:
	// 2026-layoff:3 {"v":1,"job_id":"2026-layoff","part":"3","role_ids":[11,12],"user_ids":["anna","bert"],"own":"Bw=="} <nil>
	// 3 of 4 pairs are its own: <nil>
	// anna 11
	// anna 12
	// bert 11
}
