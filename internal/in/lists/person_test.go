package lists

import (
	"encoding/json"
	"testing"
)

// Requests by names wait in Redis as JSON: a worker of another build has to know whom they mean.
func TestAPersonIsStoredUnderTheNamesThatEveryBuildReads(t *testing.T) {
	const stored = `{"Kind":2,"Text":"13812345678"}`
	who := Person{By: Mobile, Text: "13812345678"}
	if data, err := json.Marshal(who); err != nil || string(data) != stored {
		t.Errorf("%s, %v", data, err)
	}
	var read Person
	if err := json.Unmarshal([]byte(stored), &read); err != nil || read != who {
		t.Errorf("%+v, %v", read, err)
	}
}
