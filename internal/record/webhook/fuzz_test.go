package webhook

import (
	"net/http"
	"testing"
	"time"
)

// FuzzReadHeader: headers are refused or give a message within the limits, which nobody has signed who lacks the secret;
// beside whatever else the signature header holds, the signature of somebody who has it is found.
func FuzzReadHeader(f *testing.F) {
	at := time.Unix(1_700_000_000, 0)
	f.Add("msg_1", "1700000000", "v1,AAAA", []byte("{}"))
	f.Add("msg_1", "1700000000", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v2,x", []byte("{}"))
	f.Add("a.b", "+1700000299", "v1a,x  v1,\tv1,=", []byte(""))
	f.Add("", "-9223372036854775808", ",", []byte("\x00"))
	secrets, err := ParseSecrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{}
		h.Set(HeaderID, id)
		h.Set(HeaderTimestamp, timestamp)
		h.Set(HeaderSignature, signature)
		m, err := ReadHeader(h, at)
		if err != nil {
			return
		}
		if m.ID == "" || len(m.ID) > maxIDLength || len(m.signatures) > maxSignatures {
			t.Errorf("taken: %+v", m)
		}
		if m.SignedBy(secrets[0], body) {
			t.Fatal("signed without the secret")
		}
		Sign(h, secrets, id, at, body)
		h.Set(HeaderSignature, h.Get(HeaderSignature)+" "+signature)
		m, err = ReadHeader(h, at)
		if err != nil || !m.SignedBy(secrets[0], body) {
			t.Errorf("a right signature is refused: %v", err)
		}
		if m.SignedBy(secrets[0], append(body, '.')) {
			t.Error("the signature holds for another body")
		}
	})
}

// FuzzParseSecrets: a text is refused or gives a secret for each field, none of which is short.
func FuzzParseSecrets(f *testing.F) {
	f.Add("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	f.Add(" whsec_AAAA\nwhsec_")
	f.Add(NewSecretText() + " " + NewSecretText())
	f.Fuzz(func(t *testing.T, text string) {
		secrets, err := ParseSecrets(text)
		if err != nil {
			return
		}
		if len(secrets) == 0 {
			t.Error("taken without a secret")
		}
		for _, s := range secrets {
			if len(s.key) < 24 || len(s.key) > 64 {
				t.Errorf("a secret of %d bytes is taken", len(s.key))
			}
		}
	})
}
