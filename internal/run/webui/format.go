package webui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/tasks"
)

const (
	// mostIDs is how many ids of a list are shown.
	mostIDs = 10
	// mostText bounds what is shown of foreign text, in characters.
	mostText = 1000
)

// view is a part as the UI shows it: what an operator looks for first comes first, and lists are cut.
type view struct {
	Reason    tasks.Reason `json:"reason,omitempty"`
	ErrCode   *int         `json:"errcode,omitempty"`
	SubCode   string       `json:"sub_code,omitempty"`
	ErrMsg    string       `json:"errmsg,omitempty"`
	Users     string       `json:"users,omitempty"`
	Roles     string       `json:"roles,omitempty"`
	Pairs     int          `json:"pairs,omitempty"`
	JobID     string       `json:"job_id"`
	Part      string       `json:"part"`
	RequestID string       `json:"request_id,omitempty"`
	Attempts  int          `json:"attempts,omitempty"`
	FailedAt  string       `json:"failed_at,omitempty"`
	Lane      string       `json:"lane,omitempty"`
	Payload   string       `json:"payload,omitempty"`
}

// FormatPayload is a task's payload as one line of JSON; of a dead letter the reason and DingTalk's codes come first,
// of long lists the first ten ids. What is no part of unrole's is shown as it is, cut.
func FormatPayload(taskType string, payload []byte) string {
	part, err := tasks.Decode(payload)
	if taskType != tasks.TypeRemove || err != nil {
		return foreign(payload)
	}
	v := view{JobID: part.JobID, Part: part.Part, Users: list(part.UserIDs), Roles: list(words.RoleIDs(part.RoleIDs))}
	if len(part.UserIDs) > 0 && len(part.RoleIDs) > 0 {
		v.Pairs = part.Owned()
	}
	if f := part.Failure; f != nil {
		v.Reason, v.ErrCode, v.SubCode, v.ErrMsg = f.Reason, &f.ErrCode, f.SubCode, cut(f.ErrMsg)
		v.RequestID, v.Attempts, v.FailedAt, v.Lane = f.RequestID, f.Attempts, f.FailedAt.UTC().Format(time.RFC3339), f.Queue
		if len(f.Payload) > 0 {
			v.Payload = foreign(f.Payload)
		}
	}
	return encode(v)
}

// FormatResult is a task's result as one line of JSON, cut.
func FormatResult(_ string, result []byte) string {
	if len(result) == 0 {
		return ""
	}
	return foreign(result)
}

// list is ids on one line, since the UI gives each element of a JSON list a line of its own; a long list is cut and
// begins with its length.
func list(ids []string) string {
	if len(ids) <= mostIDs {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%d: %s, …", len(ids), strings.Join(ids[:mostIDs], ", "))
}

// foreign is data that nobody vouches for: compact JSON where it is that and short, else its text, cut and quoted.
func foreign(data []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, data) == nil && compact.Len() <= mostText {
		return compact.String()
	}
	return encode(cut(string(data)))
}

func cut(s string) string {
	if short := words.Clip(s, mostText); short != s {
		return fmt.Sprintf("%s (%d bytes in all)", short, len(s))
	}
	return s
}

// encode is JSON without HTML escapes, which would show in the UI.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
