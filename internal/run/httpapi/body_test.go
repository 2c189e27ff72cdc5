package httpapi

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/record/webhook"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBodiesAreReadAsHRSystemsSendThem(t *testing.T) {
	w := memoryWorld(t, nil)
	for name, c := range map[string]struct {
		body    string
		headers []string
	}{
		"byte order mark":        {"\ufeff" + removal("mark", "a"), nil},
		"charset in capitals":    {removal("charset", "a"), []string{"Content-Type", `Application/JSON; Charset="UTF-8"`}},
		"a parameter is broken":  {removal("broken", "a"), []string{"Content-Type", "application/json; charset"}},
		"gzip":                   {zipped(t, removal("gzip", "a")), []string{"Content-Encoding", "gzip"}},
		"gzip in capitals, mark": {zipped(t, "\ufeff"+removal("gzip2", "a")), []string{"Content-Encoding", "GZIP"}},
	} {
		if got := w.send(c.body, c.headers...); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for name, c := range map[string]struct {
		headers []string
		want    int
	}{
		"another charset":  {[]string{"Content-Type", "application/json; charset=gbk"}, http.StatusUnsupportedMediaType},
		"another encoding": {[]string{"Content-Encoding", "br"}, http.StatusUnsupportedMediaType},
		"no gzip":          {[]string{"Content-Encoding", "gzip"}, http.StatusBadRequest},
	} {
		if got := w.send(removal("no", "a"), c.headers...); got.status != c.want {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestAnInflatedBodyIsBoundedToo(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.MaxBody = 10_000 })
	bomb := zipped(t, strings.Repeat(" ", 1<<20))
	if len(bomb) > 5000 {
		t.Fatalf("%d bytes", len(bomb))
	}
	if got := w.send(bomb, "Content-Encoding", "gzip"); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestASignatureIsOfTheBodyOrOfWhatIsSent(t *testing.T) {
	text, line, _ := NewSigningSecret("ihr")
	secret, _ := webhook.ParseSecret(text)
	w := memoryWorld(t, func(c *Config) { c.Keys = keysOf(t, line) })
	w.token = ""
	body := removal("signed", "a")
	sent := zipped(t, body)
	for id, signed := range map[string]string{"msg_body": body, "msg_sent": sent} {
		h := http.Header{}
		webhook.Sign(h, []webhook.Secret{secret}, id, time.Now(), []byte(signed))
		if got := w.send(sent, "Content-Encoding", "gzip", webhook.HeaderID, id, webhook.HeaderTimestamp, h.Get(webhook.HeaderTimestamp),
			webhook.HeaderSignature, h.Get(webhook.HeaderSignature)); got.status >= 300 {
			t.Errorf("%s: %d %s", id, got.status, got.body)
		}
	}
}

// send posts a body that openapi.yaml knows in another form.
func (w *world) send(body string, headers ...string) answer {
	w.Helper()
	w.loose = true
	defer func() { w.loose = false }()
	return w.post(body, headers...)
}
