package adapter

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unrole/unrole/internal/record/webhook"
)

// tolerance is how far a signed time, or a clock that is ahead, may be from ours.
const tolerance = webhook.Tolerance

// source is where a proof stands in a request: in a header, or in a parameter of the address.
type source struct{ header, query string }

func (s source) of(h http.Header, q url.Values) string {
	if s.header != "" {
		return h.Get(s.header)
	}
	return q.Get(s.query)
}

// signature is a sum that only who knows a secret can make. A nil one is no proof that is missing: another is there.
type signature struct {
	source
	algorithm string
	decode    func(string) ([]byte, error)
	// of is what is signed, with {timestamp}, {nonce}, {secret} and {body} in it; the first two come from these headers.
	of               []string
	timestamp, nonce string
	secrets          [][]byte
}

// algorithms are the sums that systems make; of plain SHA-256 the secret is a part of what is signed.
var algorithms = map[string]func(secret []byte) hash.Hash{
	"hmac-sha256": func(secret []byte) hash.Hash { return hmac.New(sha256.New, secret) },
	"hmac-sha1":   func(secret []byte) hash.Hash { return hmac.New(sha1.New, secret) },
	"sha256":      func([]byte) hash.Hash { return sha256.New() },
}

// check reports whether a message is signed; a wrong signature is an error, none at all is not. A system that needs no signature counts
// as signed.
func (s *signature) check(m Message) (signed bool, err error) {
	if s == nil {
		return true, nil
	}
	text := s.source.of(m.Header, m.Query)
	if text == "" {
		return false, nil
	}
	if s.timestamp != "" {
		seconds, err := strconv.ParseInt(m.Header.Get(s.timestamp), 10, 64)
		if err != nil {
			return false, &Unproved{s.timestamp + " is not a number of seconds since 1970"}
		}
		if age := m.Now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
			return false, &Unproved{s.timestamp + " is more than five minutes away from this server's time " + m.Now.UTC().Format(time.RFC3339)}
		}
	}
	have, err := s.decode(text)
	if err != nil {
		return false, &Unproved{"the signature is not written as it should be"}
	}
	for _, secret := range s.secrets {
		// A sender that compresses signs what it had before, or what it sends.
		if hmac.Equal(have, s.sum(m, secret, m.Body)) || hmac.Equal(have, s.sum(m, secret, m.Sent)) {
			return true, nil
		}
	}
	return false, &Unproved{"no secret known here made the signature"}
}

func (s *signature) sum(m Message, secret, body []byte) []byte {
	h := algorithms[s.algorithm](secret)
	for _, part := range s.of {
		switch part {
		case "{timestamp}":
			h.Write([]byte(m.Header.Get(s.timestamp)))
		case "{nonce}":
			h.Write([]byte(m.Header.Get(s.nonce)))
		case "{secret}":
			h.Write(secret)
		case "{body}":
			h.Write(body)
		default:
			h.Write([]byte(part))
		}
	}
	return h.Sum(nil)
}

// encodings are the ways to write a sum. What stands before it with an equals sign, as in sha256=…, names the algorithm.
var encodings = map[string]func(string) ([]byte, error){
	"hex": func(s string) ([]byte, error) {
		_, after, found := strings.Cut(s, "=")
		if found {
			s = after
		}
		return hex.DecodeString(s)
	},
	"base64": func(s string) ([]byte, error) {
		s = strings.TrimRight(s, "=")
		if _, after, found := strings.Cut(s, "="); found {
			s = after
		}
		// An address in which nobody wrote + as %2B has a blank there.
		return base64.RawStdEncoding.DecodeString(strings.ReplaceAll(s, " ", "+"))
	},
}

// token is a secret that is sent as it is. A nil one is no proof that is missing: another is there.
type token struct {
	source
	// body are the places where a message may have it, the first one that is there counts; empty: it is in source.
	body    []pointer
	secrets [][]byte
}

func (t *token) check(m Message, doc any) error {
	if t == nil {
		return nil
	}
	have := t.source.of(m.Header, m.Query)
	if strings.EqualFold(t.header, "Authorization") {
		if scheme, rest, found := strings.Cut(have, " "); found && strings.EqualFold(scheme, "Bearer") {
			have = strings.TrimSpace(rest)
		}
	}
	for _, at := range t.body {
		if text, ok := at.text(doc); ok {
			have = text
			break
		}
	}
	// Sums are compared, as their length tells nothing.
	sum := sha256.Sum256([]byte(have))
	known := 0
	for _, secret := range t.secrets {
		want := sha256.Sum256(secret)
		known |= subtle.ConstantTimeCompare(sum[:], want[:])
	}
	if known == 0 {
		return &Unproved{"the token is missing, or not known here"}
	}
	return nil
}

// encrypted is a body that is in an envelope: base64 of 16 random bytes and AES-256-CBC with them, under the SHA-256 of a secret, as
// 飞书 and 飞连 have it.
type encrypted struct {
	at      pointer
	secrets [][]byte
}

// open is the same error whatever is wrong, so that nobody learns from it how a forged envelope failed.
func (e *encrypted) open(doc any) (inner any, err error) {
	text, _ := e.at.text(doc)
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err == nil && len(sealed) >= 2*aes.BlockSize && len(sealed)%aes.BlockSize == 0 {
		for _, secret := range e.secrets {
			if plain := unseal(secret, sealed); plain != nil {
				if inner, err := parse(plain); err == nil {
					return inner, nil
				}
			}
		}
	}
	return nil, &Unproved{"there is no encrypted message that a secret known here opens"}
}

// unseal is nil where the padding is none.
func unseal(secret, sealed []byte) []byte {
	key := sha256.Sum256(secret)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil // never: the key has 32 bytes
	}
	plain := make([]byte, len(sealed)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, sealed[:aes.BlockSize]).CryptBlocks(plain, sealed[aes.BlockSize:])
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil
	}
	return plain[:len(plain)-n]
}
