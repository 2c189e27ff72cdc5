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

// A part that gives a role back, with the departments over which one of the users had it. A worker that knows no actions
// refuses its version: it would remove.
func ExampleAction() {
	part := tasks.Part{JobID: "2026-undo", Part: "0", Action: tasks.Add, RoleIDs: []int64{11}, UserIDs: []string{"anna", "bert"},
		Scopes: []tasks.Scope{{UserID: "anna", RoleID: 11, Departments: []int64{7, 8}}}}
	data, err := part.Encode()
	fmt.Println(string(data), err)

	_, err = tasks.Decode([]byte(`{"v":1,"job_id":"2026-undo","part":"0","action":"add","role_ids":[11],"user_ids":["anna"]}`))
	fmt.Println(err)
	// Output:
	// {"v":2,"job_id":"2026-undo","part":"0","action":"add","role_ids":[11],"user_ids":["anna","bert"],"scopes":[{"user_id":"anna","role_id":11,"dept_ids":[7,8]}]} <nil>
	// payload: action: "add" is none of version 1
}
