package tasks

import (
	"bytes"
	"testing"
)

// FuzzDecode feeds the decoder of task payloads, which anybody who can write to Redis can send: whatever it accepts can
// be executed within the limits, is encoded again to the same part, and is found again by its task id.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"v":1}`, `{"v":2,"job_id":"j"}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[1],"user_ids":["u"]}`,
		`{"v":1,"job_id":"j","part":"3.1","role_ids":[1,2],"user_ids":["u","v","w"],"own":"Kg=="}`,
		`{"v":1,"job_id":"j","part":"3.1","role_ids":[1,2],"user_ids":["u","v","w"],"own":""}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[1,1],"user_ids":["u"]}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[9223372036854775808],"user_ids":["u"]}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[1e3],"user_ids":["a,b"]}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[1],"user_ids":["\ud800"]}`,
		`{"v":1,"job_id":"../x","part":"0-u1~2","role_ids":[1],"user_ids":["u"]}`,
		`{"v":1,"job_id":"j","part":"0-u0~3","role_ids":[1],"user_ids":["u"],"failure":{"reason":"user_gone","errcode":60121,"errmsg":"找不到该用户","attempts":2,"failed_at":"2026-01-02T03:04:05Z","queue":"bulk"}}`,
		`{"v":1,"job_id":"unreadable","part":"0-all","failure":{"reason":"bad_payload","errcode":0,"errmsg":"x","attempts":1,"failed_at":"2026-01-02T03:04:05Z","queue":"default","payload":"AP8="}}`,
		`{"v":1,"job_id":"j","part":"0","role_ids":[1],"user_ids":["u"]} and more`,
		`{"v":2,"job_id":"j","part":"0","role_ids":[1],"user_ids":["u"]}`, `{"v":3,"job_id":"j","part":"0","action":"give","role_ids":[1],"user_ids":["u"]}`,
		`{"v":2,"job_id":"j","part":"0","action":"add","role_ids":[1],"user_ids":["u"],"scopes":[{"user_id":"u","role_id":1,"dept_ids":[7]}]}`,
		`{"v":2,"job_id":"j","part":"0","action":"add","role_ids":[1],"user_ids":["u"],"scopes":[{"user_id":"u","role_id":1,"dept_ids":[]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		p, err := Decode(payload)
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("decoded and not valid: %v", err)
		}
		owned := 0
		for range p.EachOwned() {
			owned++
		}
		if owned > p.Pairs() || owned != p.Owned() {
			t.Fatalf("it owns %d of %d pairs, by its own count %d", owned, p.Pairs(), p.Owned())
		}
		jobID, part, ok := SplitTaskID(p.TaskID())
		if !ok || jobID != p.JobID || part != p.Part {
			t.Fatalf("task id %s is taken apart into %q and %q, %v", p.TaskID(), jobID, part, ok)
		}
		once, err := p.Encode()
		if err != nil {
			t.Fatalf("decoded and not encoded: %v", err)
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("encoded and not decoded: %v\n%s", err, once)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v: two encodings of one part differ:\n%s\n%s", err, once, twice)
		}
	})
}

// FuzzSplitTaskID: an id that is taken apart is put together to the same again.
func FuzzSplitTaskID(f *testing.F) {
	for _, seed := range []string{"j:0", "j:3.1-u17~2", ":", "a:b:0", "j:", "j:0-all", "j:0-u1r2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if jobID, part, ok := SplitTaskID(id); ok && jobID+":"+part != id {
			t.Fatalf("%q is taken apart into %q and %q", id, jobID, part)
		}
	})
}
