// Package webhook signs and checks Standard Webhooks messages (standardwebhooks.com), and tells a configured address
// when a job ends.
package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a Standard Webhooks message.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Signed reports whether a request carries the signature of a message.
func Signed(h http.Header) bool { return header(h, HeaderSignature) != "" }

// header reads a header of a message under its name or, from senders that still have it, the older svix-….
func header(h http.Header, name string) string {
	if v := h.Get(name); v != "" {
		return v
	}
	return h.Get("Svix-" + strings.TrimPrefix(name, "Webhook-"))
}

// Tolerance is how far a message's time may be from ours.
const Tolerance = 5 * time.Minute

// Secret signs messages. Its text never appears in an error or a log.
type Secret struct{ key []byte }

// Equal reports whether both are the same secret.
func (s Secret) Equal(other Secret) bool { return hmac.Equal(s.key, other.key) }

const secretPrefix = "whsec_"

// ParseSecret reads a secret of 24 to 64 bytes, as the standard has it, in the ways that other systems show one: whsec_BASE64,
// with v1, before it or without whsec_, padded or not.
func ParseSecret(text string) (Secret, error) {
	body := strings.TrimPrefix(strings.TrimPrefix(text, "v1,"), secretPrefix)
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil || body == "" {
		return Secret{}, errors.New("the secret is not base64 (but for whsec_ before it)")
	}
	if len(key) < 24 || len(key) > 64 {
		return Secret{}, fmt.Errorf("the secret has %d bytes, want 24 to 64 (openssl rand -base64 32 makes 32)", len(key))
	}
	return Secret{key}, nil
}

// ParseSecrets reads secrets separated by blanks, of which there must be one at least. The first one is the newest; the
// others stay for as long as the other side may still use them.
func ParseSecrets(text string) ([]Secret, error) {
	var secrets []Secret
	for i, field := range strings.Fields(text) {
		s, err := ParseSecret(field)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
		secrets = append(secrets, s)
	}
	if len(secrets) == 0 {
		return nil, errors.New("there is no secret: write one of the form whsec_BASE64")
	}
	return secrets, nil
}

// NewSecretText makes the text of a new secret of 32 random bytes.
func NewSecretText() string {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

func (s Secret) signature(id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Sign sets the three headers of a message, with one signature per secret, so that the other side may know the old or
// the new one during a rotation.
func Sign(h http.Header, secrets []Secret, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(s.signature(id, timestamp, body))
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, strings.Join(signatures, " "))
}

// Message is what the headers of a message say.
type Message struct {
	ID         string
	timestamp  string
	signatures [][]byte
}

const (
	maxIDLength = 256
	// maxSignatures bounds the work for a header that nobody has authenticated yet.
	maxSignatures = 16
)

// ReadHeader reads the headers of a message that was received at now. It fails when one is missing or malformed, or
// when the message is older or newer than Tolerance. Nothing is authenticated before SignedBy.
func ReadHeader(h http.Header, now time.Time) (Message, error) {
	m := Message{ID: header(h, HeaderID), timestamp: header(h, HeaderTimestamp)}
	if m.ID == "" || len(m.ID) > maxIDLength {
		return m, fmt.Errorf("webhook-id is missing or longer than %d bytes", maxIDLength)
	}
	seconds, err := strconv.ParseInt(m.timestamp, 10, 64)
	if err != nil {
		return m, errors.New("webhook-timestamp is not a number of seconds since 1970")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return m, fmt.Errorf("webhook-timestamp is more than %.0f minutes away from this server's time %s: send the message now, and check the clocks",
			Tolerance.Minutes(), now.UTC().Format(time.RFC3339))
	}
	for _, field := range strings.Fields(header(h, HeaderSignature)) {
		text, ok := strings.CutPrefix(field, "v1,")
		if !ok {
			continue // another version of the scheme
		}
		sum, err := base64.StdEncoding.DecodeString(text)
		if err == nil && len(sum) == sha256.Size && len(m.signatures) < maxSignatures {
			m.signatures = append(m.signatures, sum)
		}
	}
	if len(m.signatures) == 0 {
		return m, errors.New("webhook-signature has no signature of the form v1,BASE64")
	}
	return m, nil
}

// SignedBy reports whether the secret signed the message with this body. The time it takes does not depend on how much
// of a signature is right.
func (m Message) SignedBy(s Secret, body []byte) bool {
	want := s.signature(m.ID, m.timestamp, body)
	found := false
	for _, sum := range m.signatures {
		if hmac.Equal(sum, want) {
			found = true
		}
	}
	return found
}
