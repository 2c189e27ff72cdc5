package dingtalk

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
)

// checkDecoded asserts what holds for every answer.
func checkDecoded(t *testing.T, r reply, token string) {
	t.Helper()
	fields, e := decode(opRemove, r, noon, token)
	if e == nil {
		var code any
		var plain map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(r.body), "\ufeff")), &plain); err != nil {
			t.Fatalf("success from something that is no object: %q", r.body)
		}
		code = plain["errcode"]
		if code != 0.0 && code != "0" {
			t.Fatalf("success from errcode %v: %q", code, r.body)
		}
		if fields == nil || r.status < 200 || r.status > 299 {
			t.Fatalf("success with status %d, fields %v", r.status, fields)
		}
		return
	}
	if e.Class == ClassOK || (e.Class == ClassThrottled) != (e.Limit != LimitNone) || e.Wait < 0 {
		t.Fatalf("%v %v %v from %q", e.Class, e.Limit, e.Wait, r.body)
	}
	line := e.Error()
	if strings.Contains(line, token) {
		t.Fatalf("the error shows the token: %q from %q", line, r.body)
	}
	if strings.ContainsFunc(line, func(c rune) bool { return unicode.IsControl(c) }) || len(line) > 8000 {
		t.Fatalf("not one clean line: %q from %q", line, r.body)
	}
}
