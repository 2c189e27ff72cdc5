//go:build !fuzz

package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

func TestTheDescriptionIsValidOpenAPI(t *testing.T) {
	if ok, faults := description(t).ValidateDocument(); !ok {
		for _, f := range faults {
			t.Errorf("%s: %s %v", f.Message, f.Reason, f.SchemaValidationErrors)
		}
	}
	w := memoryWorld(t, nil)
	if got := w.get("/openapi.yaml", "Authorization", ""); got.status != 200 || got.body != string(OpenAPI) {
		t.Errorf("GET /openapi.yaml: %d", got.status)
	}
}

// check compares an exchange with openapi.yaml: the answer always, the request where it was accepted.
func (w *world) check(req *http.Request, sent string, resp *http.Response, got []byte) {
	w.Helper()
	// 404 of unknown addresses and 405 are no operations of the document.
	if resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotFound && !strings.HasPrefix(req.URL.Path, "/v1/removals/") {
		return
	}
	if req.Method == http.MethodHead {
		return
	}
	v := description(w.T)
	if resp.Header.Get("Content-Type") == "application/jsonl" {
		// OpenAPI 3.1 knows no sequence of JSON texts; the document calls it a string.
		got, _ = json.Marshal(string(got))
	}
	resp.Body = io.NopCloser(bytes.NewReader(got))
	if ok, faults := v.ValidateHttpResponse(req, resp); !ok {
		for _, f := range faults {
			w.Errorf("%s %s answered %d %s, which is not what openapi.yaml says: %s: %s %v", req.Method, req.URL.Path, resp.StatusCode, got, f.Message, f.Reason, f.SchemaValidationErrors)
		}
	}
	if resp.StatusCode < 300 && !w.loose {
		req.Body = io.NopCloser(strings.NewReader(sent))
		if ok, faults := v.ValidateHttpRequest(req); !ok {
			for _, f := range faults {
				w.Errorf("%s %s with %s was accepted, which openapi.yaml does not allow: %s: %s %v", req.Method, req.URL.Path, sent, f.Message, f.Reason, f.SchemaValidationErrors)
			}
		}
	}
}

var loadDescription = sync.OnceValues(func() (validator.Validator, []error) {
	doc, err := libopenapi.NewDocument(OpenAPI)
	if err != nil {
		return nil, []error{err}
	}
	return validator.NewValidator(doc)
})

func description(t *testing.T) validator.Validator {
	t.Helper()
	v, errs := loadDescription()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return v
}
