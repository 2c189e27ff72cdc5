package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// parseBody reads the parameters of a call into r.Form, from the query and from a body that is a form or a JSON object:
// DingTalk takes either everywhere, and most clients send JSON (C).
func parseBody(r *http.Request) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return r.ParseForm()
	}
	r.Form = r.URL.Query()
	dec := json.NewDecoder(r.Body)
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil && err != io.EOF { // a GET has no body
		return fmt.Errorf("the body is no JSON object: %w", err)
	}
	for name, value := range fields {
		if text, given := formValue(value); given {
			r.Form.Set(name, text)
		}
	}
	return nil
}

// formValue is a value as a form would have it: lists are joined by commas.
func formValue(value any) (text string, given bool) {
	switch value := value.(type) {
	case nil:
		return "", false
	case []any:
		var list []string
		for _, v := range value {
			text, _ := formValue(v)
			list = append(list, text)
		}
		return strings.Join(list, ","), true
	}
	return fmt.Sprint(value), true
}
