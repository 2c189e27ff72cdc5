package tasks

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var golden = flag.Bool("golden", false, "write the golden files anew: other workers and producers read what is in them")

// payloads are what lies in Redis, by the name of their golden file.
var payloads = map[string]Part{
	"removal": {JobID: "2026-layoff", Part: "3.1", RoleIDs: []int64{11, 12}, UserIDs: []string{"anna", "bert"}, Own: []byte{0b0111}},
	"restore": {JobID: "2026-undo", Part: "0", Action: Add, RoleIDs: []int64{11, 12}, UserIDs: []string{"anna", "bert"},
		Scopes: []Scope{{UserID: "anna", RoleID: 11, Departments: []int64{7, 8}}}},
	"letter-of-removal": {JobID: "2026-layoff", Part: "3.1-u1", RoleIDs: []int64{11}, UserIDs: []string{"bert"}, Failure: &refusal},
	"letter-of-restore": {JobID: "2026-undo", Part: "0-u1~2", Action: Add, RoleIDs: []int64{11}, UserIDs: []string{"bert"}, Failure: &refusal},
}

var refusal = Failure{Reason: ReasonUserGone, ErrCode: 60121, SubCode: "isv.60121", ErrMsg: "找不到该用户", RequestID: "r-1", Attempts: 2,
	FailedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Queue: QueueBulk}

func TestPayloadsAreWrittenAndReadAsEver(t *testing.T) {
	for name, part := range payloads {
		file := filepath.Join("testdata", name+".json")
		data, err := part.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if *golden {
			if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(data)+"\n" != string(want) {
			t.Errorf("%s is written as\n%s\nand was\n%s", name, data, want)
		}
		read, err := Decode(want)
		part.V = part.Action.Version()
		if err != nil || !reflect.DeepEqual(*read, part) {
			t.Errorf("%s is read as %+v (%v), not %+v", name, read, err, part)
		}
	}
}

// A worker of before knew version 1 alone, and no action: whatever has that version, it removes.
func TestOnlyWhatRemovesHasTheVersionThatAWorkerOfBeforeKnew(t *testing.T) {
	for name, part := range payloads {
		data, err := part.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var head struct {
			V int `json:"v"`
		}
		if err := json.Unmarshal(data, &head); err != nil {
			t.Fatal(err)
		}
		if known := head.V == 1; known != (part.Action == Remove) {
			t.Errorf("%s has version %d", name, head.V)
		}
	}
}
