package httpapi

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/record/webhook"
)

func TestOnlyKnownTokensGetIn(t *testing.T) {
	w := memoryWorld(t, nil)
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer x", "Basic " + w.token, "Bearer " + w.token + "x"} {
		for _, got := range []answer{w.get("/v1/removals/x", "Authorization", header), w.post(removal("x", "a"), "Authorization", header)} {
			if got.status != 401 || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%q: %d", header, got.status)
			}
		}
	}
	if got := w.get("/v1/removals/x", "Authorization", "bearer "+w.token); got.status != 404 {
		t.Errorf("the scheme is not case-sensitive: %d", got.status)
	}
	if log := w.log.String(); strings.Contains(log, w.token) || !strings.Contains(log, `"caller":"hr"`) {
		t.Error("the log names the token, or not the caller")
	}
}

func TestTokensChangeWithoutARestart(t *testing.T) {
	first, line, _ := NewToken("a")
	second, line2, _ := NewToken("a")
	file := keysFile(t, "# tokens", "", line)
	keys, err := OpenKeys(file, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys.checked = time.Time{}
	}
	good := func(token string) bool { _, ok := keys.current().bearer(token); return ok }
	if !good(first) || good(second) {
		t.Fatal("before")
	}
	write(line + "\n" + line2 + "\n")
	if !good(first) || !good(second) {
		t.Error("both are good during a rotation")
	}
	write(line2 + "\n")
	if good(first) || !good(second) {
		t.Error("the old one is still good")
	}
	for _, broken := range []string{"", "half a li"} {
		write(broken)
		if !good(second) {
			t.Errorf("a file of %q locks everybody out", broken)
		}
	}
	os.Remove(file)
	keys.checked = time.Time{}
	if !good(second) {
		t.Error("a missing file locks everybody out")
	}
}

func TestAFaultyTokensFileIsNamedByItsLineOnly(t *testing.T) {
	for text, want := range map[string]string{
		"":                              ":1: there is no key",
		"hr:5ecret":                     ":1: after hr: there is neither a SHA-256",
		"no colon 5ecret":               ":1: the line does not begin with a name",
		"a b:5ecret":                    ":1: the line does not begin with a name",
		"hr:whsec_!5ecret":              ":1: the secret is not base64",
		"hr:whsec_NXNlY3JldDVzZWNyZXQ=": ":1: the secret has 14 bytes, want 24 to 64",
		// A mistyped hash, which is base64 of a good length.
		"hr:" + strings.Repeat("5ec2e7", 10): ":1: after hr: there is neither a SHA-256",
	} {
		_, err := OpenKeys(keysFile(t, text), zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "5ec") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestABadLineKeepsNoGoodOneOut(t *testing.T) {
	token, line, _ := NewToken("hr")
	other, otherLine, _ := NewToken("it")
	added, addedLine, _ := NewToken("new")
	file := keysFile(t, line, otherLine)
	log := &lockedBuffer{}
	keys, err := OpenKeys(file, zerolog.New(log))
	if err != nil || keys.Fault() != nil {
		t.Fatal(err, keys.Fault())
	}
	write := func(lines ...string) {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		keys.checked = time.Time{}
	}
	good := func(token string) bool { _, ok := keys.current().bearer(token); return ok }
	write("hr:5ecret half", "# comment", addedLine)
	if !good(added) {
		t.Error("the bad line kept a new one out")
	}
	if !good(token) {
		t.Error("the bad line took the key of its own name that was good before")
	}
	if good(other) {
		t.Error("a key whose line is gone is still good")
	}
	for what, said := range map[string]string{"log": log.String(), "fault": keys.Fault().Error()} {
		if !strings.Contains(said, "tokens:1: after hr: there is neither") || strings.Contains(said, "5ecret") {
			t.Errorf("%s: %s", what, said)
		}
	}
	write(line, addedLine)
	if !good(token) || !good(added) || keys.Fault() != nil {
		t.Errorf("mended: %v", keys.Fault())
	}
}

func TestSecretsAreTakenAsOtherSystemsShowThem(t *testing.T) {
	text := webhook.NewSecretText()
	want, err := webhook.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.TrimPrefix(text, "whsec_")
	for _, form := range []string{text, bare, "v1," + text, strings.TrimRight(text, "="), strings.TrimRight(bare, "=")} {
		keys := keysOf(t, "ihr:"+form)
		if s := keys.current().secrets; len(s) != 1 || !s[0].secret.Equal(want) {
			t.Errorf("%s: %v", form, s)
		}
	}
}

func TestOlderHeaderNamesAreReadLikeTheNewOnes(t *testing.T) {
	text, line, _ := NewSigningSecret("ihr")
	w := memoryWorld(t, func(c *Config) { c.Keys = keysOf(t, line) })
	w.token = ""
	secret, _ := webhook.ParseSecret(text)
	h := http.Header{}
	body := removal("svix", "a")
	webhook.Sign(h, []webhook.Secret{secret}, "msg_1", time.Now(), []byte(body))
	got := w.post(body, "svix-id", h.Get(webhook.HeaderID), "svix-timestamp", h.Get(webhook.HeaderTimestamp), "svix-signature", h.Get(webhook.HeaderSignature))
	if got.status != http.StatusAccepted || got.job(t).SubmittedBy != "api:ihr" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestSignedMessagesSubmitOnceAndOnlySubmit(t *testing.T) {
	oldText, oldLine, _ := NewSigningSecret("ihr")
	newText, newLine, _ := NewSigningSecret("ihr")
	foreign, _ := webhook.ParseSecret(webhook.NewSecretText())
	w := memoryWorld(t, func(c *Config) { c.Keys = keysOf(t, oldLine, newLine) })
	w.token = ""
	body := `{"source":"ihr","reason":"r","removals":[{"user_ids":["a"],"role_ids":[1]}]}`
	send := func(secret webhook.Secret, id string, at time.Time, signed, sent string) answer {
		h := http.Header{}
		webhook.Sign(h, []webhook.Secret{secret}, id, at, []byte(signed))
		return w.post(sent, webhook.HeaderID, h.Get(webhook.HeaderID), webhook.HeaderTimestamp, h.Get(webhook.HeaderTimestamp),
			webhook.HeaderSignature, "v1,bm9uZQ== v2,x "+h.Get(webhook.HeaderSignature))
	}
	oldSecret, _ := webhook.ParseSecret(oldText)
	newSecret, _ := webhook.ParseSecret(newText)
	now := time.Now()

	first := send(oldSecret, "msg_1", now, body, body)
	if first.status != 202 || first.job(t).SubmittedBy != "api:ihr" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if got := send(newSecret, "msg_2", now, body, body); got.status != 202 || got.job(t).JobID == first.job(t).JobID {
		t.Errorf("the other secret of a rotation: %d %s", got.status, got.body)
	}
	replay := send(oldSecret, "msg_1", now, body, body)
	if replay.status != 200 || replay.job(t).JobID != first.job(t).JobID {
		t.Errorf("a replay made something new: %d %s", replay.status, replay.body)
	}
	again := send(oldSecret, "msg_1", now.Add(-time.Minute), body, body)
	if again.status != 200 || again.job(t).JobID != first.job(t).JobID {
		t.Errorf("the sender's second try: %d %s", again.status, again.body)
	}
	other := strings.Replace(body, `"a"`, `"b"`, 1)
	named := strings.Replace(other, "{", `{"job_id":"n",`, 1)
	for _, b := range []string{other, named} {
		if got := send(oldSecret, "msg_1", now, b, b); got.status != 409 {
			t.Errorf("the id with another body: %d", got.status)
		}
	}
	for name, got := range map[string]answer{
		"changed body": send(oldSecret, "msg_3", now, body, other),
		"foreign":      send(foreign, "msg_4", now, body, body),
		"old":          send(oldSecret, "msg_5", now.Add(-6*time.Minute), body, body),
		"future":       send(oldSecret, "msg_6", now.Add(6*time.Minute), body, body),
		"unsigned":     w.post(body),
		"no version":   w.post(body, webhook.HeaderID, "x", webhook.HeaderTimestamp, "1", webhook.HeaderSignature, "v2,x"),
	} {
		if got.status != 401 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	h := http.Header{}
	webhook.Sign(h, []webhook.Secret{oldSecret}, "msg_7", now, nil)
	if got := w.get("/v1/removals/"+first.job(t).JobID, webhook.HeaderID, "msg_7", webhook.HeaderTimestamp, h.Get(webhook.HeaderTimestamp),
		webhook.HeaderSignature, h.Get(webhook.HeaderSignature)); got.status != 401 || !strings.Contains(got.body, "only submit") {
		t.Errorf("a signature covers no address, and must not open one: %d", got.status)
	}
}

func TestEachCallerHasItsOwnLimit(t *testing.T) {
	token, line, _ := NewToken("a")
	other, line2, _ := NewToken("b")
	w := memoryWorld(t, func(c *Config) { c.Keys = keysOf(t, line, line2); c.Rate = 0.5 })
	w.token = token
	if got := w.get("/v1/removals/x"); got.status != 404 {
		t.Fatalf("%d", got.status)
	}
	if got := w.get("/v1/removals/x"); got.status != 429 || got.header.Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	w.token = other
	if got := w.get("/v1/removals/x"); got.status != 404 {
		t.Errorf("the other caller: %d", got.status)
	}
}

func TestWithoutKeysOnlyThisMachineIsAnswered(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.Keys = nil })
	w.token = ""
	if got := w.post(removal("x", "a")); got.status != 202 || got.job(t).SubmittedBy != "api:anonymous" {
		t.Errorf("%d %s", got.status, got.body)
	}
	req, _ := http.NewRequest(http.MethodGet, w.server.URL+"/v1/removals/x", nil)
	req.Host = "evil.example.com"
	resp, err := w.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("a foreign name: %d", resp.StatusCode)
	}
}
