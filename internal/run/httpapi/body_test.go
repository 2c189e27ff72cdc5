package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
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

// Whoever proves nothing makes the intake read little.
func TestUnprovedBodiesAreFewAtOnce(t *testing.T) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	headers := []string{webhook.HeaderID, "msg_x", webhook.HeaderTimestamp, stamp, webhook.HeaderSignature, "v1," + base64.StdEncoding.EncodeToString(make([]byte, sha256.Size))}
	w := memoryWorld(t, func(c *Config) { c.MaxBody = 1000 })
	token := w.token
	w.token = ""
	if got := w.send(strings.Repeat(" ", 2000), headers...); got.status != http.StatusUnauthorized {
		t.Errorf("a signature where nobody has a secret: %d %s", got.status, got.body)
	}

	_, line, _ := NewSigningSecret("ihr")
	sum := sha256.Sum256([]byte(token))
	w = memoryWorld(t, func(c *Config) { c.Keys = keysOf(t, line, "hr:"+hex.EncodeToString(sum[:])) })
	w.token = ""
	read, answered := make(chan struct{}), make(chan struct{}, 8)
	transport := &http.Transport{ExpectContinueTimeout: time.Hour}
	defer transport.CloseIdleConnections()
	var slow sync.WaitGroup
	hold, release := context.WithCancel(t.Context())
	for range 8 {
		slow.Go(func() {
			// The intake asks for the body once it reads it.
			req, _ := http.NewRequestWithContext(hold, http.MethodPost, w.server.URL+"/v1/removals", &slowBody{read: read, hold: hold})
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Expect", "100-continue")
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			if resp, err := transport.RoundTrip(req); err == nil {
				resp.Body.Close()
				answered <- struct{}{}
			}
		})
		select {
		case <-read:
		case <-answered:
			t.Fatal("a body was not asked for")
		}
	}
	if got := w.send(removal("ninth", "a"), headers...); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("the ninth: %d %v %s", got.status, got.header, got.body)
	}
	if got := w.send(removal("token", "a"), "Authorization", "Bearer "+token); got.status != http.StatusAccepted {
		t.Errorf("with a token meanwhile: %d %s", got.status, got.body)
	}
	release()
	slow.Wait()
}

// slowBody says that it is read, and has nothing until hold ends.
type slowBody struct {
	once sync.Once
	read chan<- struct{}
	hold context.Context
}

func (b *slowBody) Read([]byte) (int, error) {
	b.once.Do(func() { b.read <- struct{}{} })
	<-b.hold.Done()
	return 0, io.EOF
}

// send posts a body that openapi.yaml knows in another form.
func (w *world) send(body string, headers ...string) answer {
	w.Helper()
	w.loose = true
	defer func() { w.loose = false }()
	return w.post(body, headers...)
}
