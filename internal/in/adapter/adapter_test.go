package adapter

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	key      = "a-long-random-text"
	feishu   = "rvaYgkND1GOiu5MM0E1rncYC6PLtF7JV"
	feilian  = "verification-of-feilian"
	examples = "../../../examples/adapters/"
)

// sentAt is when the messages in testdata were sent.
var sentAt = time.Unix(1796000000, 0)

// example loads one of the examples as somebody would use it: with the secrets beside it.
func example(t testing.TB, name string) *Adapter {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{name + ".secret": key, name + ".key": key, "feishu.token": feishu, "feilian.token": feilian}
	for _, file := range []string{name + ".yaml", "2haohr.csv"} {
		data, err := os.ReadFile(examples + file)
		if err != nil {
			t.Fatal(err)
		}
		files[file] = string(data)
	}
	return load(t, dir, name+".yaml", files)[name]
}

func load(t testing.TB, dir, mapping string, files map[string]string) map[string]*Adapter {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	adapters, err := Load(filepath.Join(dir, mapping))
	if err != nil {
		t.Fatal(err)
	}
	return adapters
}

// one loads a mapping of one adapter named a, with a secret beside it.
func one(t testing.TB, mapping string) *Adapter {
	t.Helper()
	return load(t, t.TempDir(), "map.yaml", map[string]string{"map.yaml": mapping, "s": key})["a"]
}

func message(body string, query ...string) Message {
	m := Message{Header: http.Header{}, Query: url.Values{}, Sent: []byte(body), Body: []byte(body), Now: sentAt.Add(time.Minute)}
	for i := 0; i < len(query); i += 2 {
		m.Query.Set(query[i], query[i+1])
	}
	return m
}

func seal(t testing.TB, plain string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	n := aes.BlockSize - len(plain)%aes.BlockSize
	padded := append([]byte(plain), bytes.Repeat([]byte{byte(n)}, n)...)
	sealed := make([]byte, aes.BlockSize+len(padded))
	rand.Read(sealed[:aes.BlockSize])
	cipher.NewCBCEncrypter(block, sealed[:aes.BlockSize]).CryptBlocks(sealed[aes.BlockSize:], padded)
	body, _ := json.Marshal(map[string]string{"encrypt": base64.StdEncoding.EncodeToString(sealed)})
	return string(body)
}

// fromFeishu is a message as 飞书 sends it: encrypted, and signed.
func fromFeishu(t testing.TB, plain string) Message {
	m := message(seal(t, plain))
	const stamp = "1796000060"
	m.Header.Set("X-Lark-Request-Timestamp", stamp)
	m.Header.Set("X-Lark-Request-Nonce", "a1b2")
	sum := sha256.Sum256([]byte(stamp + "a1b2" + key + string(m.Body)))
	m.Header.Set("X-Lark-Signature", hex.EncodeToString(sum[:]))
	return m
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDocumentedMessagesAreRead(t *testing.T) {
	for name, c := range map[string]struct {
		message Message
		id      string
		removal string
	}{
		"xinrenxinshi": {message(fixture(t, "xinrenxinshi"), "key", key), "de8e1d058f68471a928cb4b6e90cda1d",
			`{"source":"薪人薪事","reason":"离职交接完成","at":"2026-12-31T18:00:00+08:00","removals":[{"users":[{"job_number":"0042","mobile":"13812345678"}],"all_roles":true}]}`},
		"2haohr": {message(fixture(t, "2haohr"), "key", key), "",
			`{"source":"2号人事部","reason":"员工离职","removals":[{"users":[{"mobile":"13812345678"},{"job_number":"0042"},{"job_number":"2haohr id 7f000000-0000-4000-8000-000000000001, not in the table"}],"all_roles":true}]}`},
		"feilian": {message(seal(t, fixture(t, "feilian"))), "e09288e2-a1b3-4c5d-8e6f-000000000001",
			`{"source":"飞连","reason":"员工离职","removals":[{"users":[{"mobile":"+8613812345678"},{"mobile":"13912345678"}],"all_roles":true}]}`},
		"feishu": {fromFeishu(t, fixture(t, "feishu")), "5e3702a84e847582be8db7fb73283c02",
			`{"source":"飞书","reason":"员工离职","removals":[{"users":[{"job_number":"0042","mobile":"+8613812345678"}],"all_roles":true}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			a := example(t, name)
			e, err := a.Open(c.message)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.removal, string(e.Removal)); diff != "" {
				t.Errorf("the removal (-want +got):\n%s", diff)
			}
			if e.ID != c.id || e.Ignored != "" || e.Challenge != "" {
				t.Errorf("%+v", e)
			}
			late := c.message
			late.Now = sentAt.Add(48 * time.Hour)
			late.Header = c.message.Header.Clone()
			if e, err := a.Open(late); a.sent != nil && err == nil {
				t.Errorf("two days later it is still taken: %+v", e)
			}
		})
	}
}

func TestMessagesThatCountForNothingAreAnsweredAsTheSystemWants(t *testing.T) {
	for name, c := range map[string]struct {
		message Message
		answer  string
	}{
		"xinrenxinshi": {message(`{"messageId":"uuid","type":"verify","sendtime":"1515986177"}`, "key", key), `{"message":"success"}`},
		"2haohr":       {message(`{"key":"event_test","data":[]}`, "key", key), `{"result_code":"SUCCESS","result_msg":"OK"}`},
	} {
		a := example(t, name)
		if e, err := a.Open(c.message); err != nil || e.Ignored == "" || string(a.Answer) != c.answer {
			t.Errorf("%s: %+v %v %s", name, e, err, a.Answer)
		}
	}
	begun := strings.Replace(fixture(t, "xinrenxinshi"), `"launchHandoverStatus":2`, `"launchHandoverStatus":1`, 1)
	if e, err := example(t, "xinrenxinshi").Open(message(begun, "key", key)); err != nil || e.Ignored == "" || e.Removal != nil {
		t.Errorf("begun: %+v %v", e, err)
	}
}

func TestWhoStaysIsCalledAsWhenTheyLeft(t *testing.T) {
	for name, leaves := range map[string]string{"xinrenxinshi": fixture(t, "xinrenxinshi"), "2haohr": fixture(t, "2haohr")} {
		a := example(t, name)
		stays := strings.NewReplacer(`"launchHandoverStatus":2`, `"launchHandoverStatus":3`, "employee_leave", "employee_re_entry", `"mobile":"1`, `"mobile":"2`).Replace(leaves)
		left, err := a.Open(message(leaves, "key", key))
		if err != nil || left.Stays || len(left.Each) == 0 {
			t.Fatalf("%s: %+v %v", name, left, err)
		}
		back, err := a.Open(message(stays, "key", key))
		if err != nil || !back.Stays || back.Removal != nil || len(back.Each) != len(left.Each) {
			t.Fatalf("%s: %+v %v", name, back, err)
		}
		for i, said := range back.Each {
			if said.Who == "" || said.Who != left.Each[i].Who || said.Removal != nil || left.Each[i].Removal == nil {
				t.Errorf("%s: %+v, %+v", name, left.Each[i], said)
			}
		}
	}
}

func TestAChallengeIsEchoedToWhoKnowsTheToken(t *testing.T) {
	for name, token := range map[string]string{"feishu": feishu, "feilian": feilian} {
		a := example(t, name)
		ask := func(token string) (Event, error) {
			return a.Open(message(seal(t, `{"challenge":"f8f76934-fcf2","token":"`+token+`","type":"url_verification"}`)))
		}
		if e, err := ask(token); err != nil || e.Challenge != "f8f76934-fcf2" || e.Removal != nil {
			t.Errorf("%s: %+v %v", name, e, err)
		}
		var unproved *Unproved
		if e, err := ask("somebody else's"); !errors.As(err, &unproved) {
			t.Errorf("%s: without the token: %+v %v", name, e, err)
		}
	}
}

// A key, and a message that it opens: the one that programs for 飞书 are commonly tried with.
func TestTheEnvelopeIsThatOfItsDocumentation(t *testing.T) {
	sealed, err := base64.StdEncoding.DecodeString("P37w+VZImNgPEO1RBhJ6RtKl7n6zymIbEG1pReEzghk=")
	if err != nil {
		t.Fatal(err)
	}
	if plain := unseal([]byte("test key"), sealed); string(plain) != "hello world" {
		t.Errorf("%q", plain)
	}
}

func TestNobodyIsHeardWhoProvesNothing(t *testing.T) {
	good := func() Message { return fromFeishu(t, fixture(t, "feishu")) }
	for what, spoil := range map[string]func(*Message){
		"no signature":           func(m *Message) { m.Header.Del("X-Lark-Signature") },
		"another signature":      func(m *Message) { m.Header.Set("X-Lark-Signature", strings.Repeat("ab", 32)) },
		"a signature in letters": func(m *Message) { m.Header.Set("X-Lark-Signature", "yes") },
		"another nonce":          func(m *Message) { m.Header.Set("X-Lark-Request-Nonce", "a1b3") },
		"another body":           func(m *Message) { m.Body = []byte(seal(t, fixture(t, "feishu"))); m.Sent = m.Body },
		"no time":                func(m *Message) { m.Header.Del("X-Lark-Request-Timestamp") },
		"six minutes later":      func(m *Message) { m.Now = m.Now.Add(6 * time.Minute) },
		"six minutes earlier":    func(m *Message) { m.Now = m.Now.Add(-6 * time.Minute) },
		"plain":                  func(m *Message) { *m = message(fixture(t, "feishu")) },
		"an envelope of chance": func(m *Message) {
			*m = message(`{"encrypt":"` + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("x"), 64)) + `"}`)
		},
	} {
		m := good()
		spoil(&m)
		var unproved *Unproved
		if e, err := example(t, "feishu").Open(m); !errors.As(err, &unproved) {
			t.Errorf("%s: %+v %v", what, e, err)
		}
	}
	if _, err := example(t, "feishu").Open(good()); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", key + "x", key[1:]} {
		var unproved *Unproved
		if e, err := example(t, "2haohr").Open(message(fixture(t, "2haohr"), "key", key)); !errors.As(err, &unproved) {
			t.Errorf("token %q: %+v %v", key, e, err)
		}
	}
}

const minimal = "person: {mobile: /m}\n  all_roles: true\n  source: hr\n  reason: left\n"

func TestSignaturesAreCheckedAsSystemsMakeThem(t *testing.T) {
	body := `{"m":"13812345678"}`
	sum256 := hmac.New(sha256.New, []byte(key))
	sum256.Write([]byte("1796000000." + body))
	sum1 := hmac.New(sha1.New, []byte(key))
	sum1.Write([]byte(body))
	base := base64.StdEncoding.EncodeToString(sum1.Sum(nil))

	a := one(t, "a:\n  signature: {header: X-Sig, algorithm: hmac-sha256, encoding: hex, of: '{timestamp}.{body}', timestamp: X-Time, secret_file: s}\n  "+minimal)
	for _, sum := range []string{hex.EncodeToString(sum256.Sum(nil)), "sha256=" + hex.EncodeToString(sum256.Sum(nil)), strings.ToUpper(hex.EncodeToString(sum256.Sum(nil)))} {
		m := message(body)
		m.Header.Set("X-Sig", sum)
		m.Header.Set("X-Time", "1796000000")
		if _, err := a.Open(m); err != nil {
			t.Errorf("%s: %v", sum, err)
		}
		m.Header.Set("X-Time", "1796000001")
		if _, err := a.Open(m); err == nil {
			t.Error("another time is taken")
		}
	}
	a = one(t, "a:\n  signature: {query: sign, algorithm: hmac-sha1, encoding: base64, secret_file: s}\n  "+minimal)
	for _, sum := range []string{base, strings.TrimRight(base, "="), "sha1=" + base, strings.ReplaceAll(base, "+", " ")} {
		if _, err := a.Open(message(body, "sign", sum)); err != nil {
			t.Errorf("%s: %v", sum, err)
		}
	}
}

func TestAMessageThatLacksSomethingSaysWhatAndWhere(t *testing.T) {
	a := one(t, "a:\n  token: {query: key, secret_file: s}\n  id: /id\n  people: /who\n  at: {value: /day, format: date}\n  "+minimal)
	for body, want := range map[string]string{
		`{"id":"1","day":"2026-12-31","who":[{"m":"1"},{"m":null},{"m":[]},{}]}`: "/who/1 /who/2/m /who/2 /who/3",
		`{"day":"","who":[]}`:                         "/id /day /who",
		`{"id":{},"day":"tomorrow","who":{"n":"1"}}`:  "/id /day /who",
		`{"id":7,"day":"1999-01-01","who":{"m":"1"}}`: "/day",
		`{"id":true,"day":"2026-12-31","who":"1"}`:    "/who",
		`[]`:   "/id /day /who",
		`null`: "/id /day /who",
		`{"id":"1","day":"2026-12-31","who":{"m":" "}}`: "/who",
	} {
		e, err := a.Open(message(body, "key", key))
		var wrong *Unreadable
		if !errors.As(err, &wrong) || e.Removal != nil {
			t.Errorf("%s: %v %s", body, err, e.Removal)
			continue
		}
		var places []string
		for _, f := range wrong.Faults {
			places = append(places, f.Pointer)
		}
		if got := strings.Join(places, " "); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	var notJSON *NotJSON
	for _, body := range []string{"", "{", "{}{}", "\xff", "<xml/>"} {
		if _, err := a.Open(message(body, "key", key)); !errors.As(err, &notJSON) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestTheLastDayIsReadAsItIsWritten(t *testing.T) {
	for _, c := range []struct{ at, value, want string }{
		{"format: date", `"2026-12-31"`, "2026-12-31T18:00:00+08:00"},
		{"format: date", `"2026-12-31 00:00:00"`, "2026-12-31T18:00:00+08:00"},
		{"format: date, time: '09:30', time_zone: Europe/Berlin", `"2026-12-31"`, "2026-12-31T09:30:00+01:00"},
		{"format: date_time", `"2026-12-31 12:34:56"`, "2026-12-31T12:34:56+08:00"},
		{"format: rfc3339", `"2026-12-31T12:34:56Z"`, "2026-12-31T12:34:56Z"},
		{"format: rfc3339, time: '20:00'", `"2026-12-31T16:00:00Z"`, "2027-01-01T20:00:00+08:00"}, // it is tomorrow in China
		{"format: milliseconds, time: '18:00'", `1798646400000`, "2026-12-31T18:00:00+08:00"},
		{"format: seconds, time_zone: UTC", `"1798646400"`, "2026-12-30T16:00:00Z"},
	} {
		a := one(t, "a:\n  token: {query: key, secret_file: s}\n  at: {value: /d, "+c.at+"}\n  "+minimal)
		e, err := a.Open(message(`{"m":"1","d":`+c.value+`}`, "key", key))
		var r removal
		if err == nil {
			err = json.Unmarshal(e.Removal, &r)
		}
		want, _ := time.Parse(time.RFC3339, c.want)
		got, _ := time.Parse(time.RFC3339, r.At)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s of %s: %q %v, want %s", c.at, c.value, r.At, err, c.want)
		}
	}
}
