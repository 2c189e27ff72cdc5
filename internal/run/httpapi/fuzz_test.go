package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/unrole/unrole/tasks"
)

// A body is either refused, with a problem that names a place or a bounded number of fields, or what it gives may be
// submitted as it is: every field valid, every list filled. Written again it gives the same.
func FuzzDecodeBody(f *testing.F) {
	for _, seed := range []string{
		`{"source":"hr","reason":"left","removals":[{"user_ids":["u1"],"role_ids":[1]}]}`,
		`{"job_id":"j-1","source":"hr","reason":"left","priority":"urgent","at":"2026-12-31T18:00:00+08:00","removals":[{"user_ids":["u1","王芳"],"role_ids":["9007199254740993",2]}]}`,
		`{"source":"hr","reason":"left","removals":[]}`,
		`{"source":"","reason":" ","removals":[{"user_ids":[],"role_ids":[0,-1,1.5,1e3,"x"]}],"extra":{"a":[1]}}`,
		`{"source":"hr","reason":"left","keep_roles":["Owner",7],"unresolved":"skip","removals":[{"users":[{"mobile":"13800000001","name":"\u738b"}],"roles":["Finance"],"all_roles":true}]}`,
		`{"source":"hr","source":"hr","reason":"a\nb","removals":[{"user_ids":["a,b"],"user_ids":["a"],"role_ids":[1]}]}`,
		`{"removals":[[[[[[[[[[`, `[]`, `null`, `{"a":1}{"b":2}`, "{\"source\":\"\xff\"}", `{1:2}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, p := decode(body)
		if p != nil {
			switch {
			case req != nil:
				t.Fatal("refused, and a request all the same")
			case p.Status == http.StatusBadRequest && p.Detail != "":
			case p.Status == http.StatusUnprocessableEntity && len(p.Errors) > 0 && len(p.Errors) <= maxFaults:
				for _, e := range p.Errors {
					if e.Pointer != "" && e.Pointer[0] != '/' || e.Detail == "" {
						t.Errorf("the field %q is said to be wrong: %q", e.Pointer, e.Detail)
					}
				}
			default:
				t.Errorf("refused with %+v", p)
			}
			return
		}
		if req.names() {
			return // what is looked up has no short form to be written in
		}
		again := map[string]any{"source": req.Source, "reason": req.Reason}
		if req.JobID != "" {
			again["job_id"] = req.JobID
			if err := tasks.ValidateJobID(req.JobID); err != nil {
				t.Error(err)
			}
		}
		if req.Priority != "" {
			again["priority"] = req.Priority
			if !tasks.IsLane(req.Priority) {
				t.Errorf("priority %q", req.Priority)
			}
		}
		if !req.At.IsZero() {
			again["at"] = req.At
		}
		if len(req.rectangles) == 0 {
			t.Error("taken without a removal")
		}
		var removals []map[string]any
		for _, rect := range req.rectangles {
			if len(rect.users) == 0 || len(rect.roles) == 0 {
				t.Errorf("taken with an empty list: %+v", rect)
			}
			for _, u := range rect.users {
				if err := tasks.ValidateUserID(u); err != nil {
					t.Error(err)
				}
			}
			for _, r := range rect.roles {
				if err := tasks.ValidateRoleID(r); err != nil {
					t.Error(err)
				}
			}
			removals = append(removals, map[string]any{"user_ids": rect.users, "role_ids": rect.roles})
		}
		again["removals"] = removals
		written, err := json.Marshal(again)
		if err != nil {
			t.Fatalf("what was taken cannot be written: %v", err)
		}
		if second, p := decode(written); p != nil {
			t.Errorf("%s is refused: %+v", written, p)
		} else if once, _ := json.Marshal(req); string(once) != jsonOf(t, second) {
			t.Errorf("written again it gives %s, not %s", jsonOf(t, second), once)
		}
	})
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A file of keys is refused, with the line, or lets in the callers that it names and nobody else.
func FuzzParseKeys(f *testing.F) {
	_, token, err := NewToken("hr")
	if err != nil {
		f.Fatal(err)
	}
	_, secret, err := NewSigningSecret("it")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{token, secret, token + "\r\n# x\n\n" + secret, "\ufeff" + token, "hr:", ":", "hr:whsec_AAAA", "hr:00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := parseKeys(data)
		if err != nil {
			if line, _, _ := strings.Cut(err.Error(), ":"); line == "" || strings.Trim(line, "0123456789") != "" {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		if len(set.tokens)+len(set.secrets)+len(set.faults) == 0 {
			t.Error("taken without a key, and nothing is said")
		}
		for _, k := range set.tokens {
			if !keyName.MatchString(k.name) {
				t.Errorf("name %q", k.name)
			}
		}
		if _, ok := set.bearer(string(data)); ok {
			t.Error("the file itself is a token")
		}
		added, line, _ := NewToken("new")
		if name, ok := set.bearer(added); ok {
			t.Errorf("a new token is that of %s", name)
		}
		if set, err = parseKeys(append([]byte(line+"\n"), bytes.TrimPrefix(data, []byte("\ufeff"))...)); err != nil {
			t.Fatal(err)
		}
		if name, ok := set.bearer(added); !ok || name != "new" {
			t.Errorf("a token of the file is that of %q, %v", name, ok)
		}
	})
}
