package httpapi

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/record/webhook"
)

// Keys are the callers that the intake knows, from a file that may change at any time. Each line is NAME:HASH, the
// SHA-256 of a bearer token in hexadecimal, or NAME:whsec_…, the secret of a caller that signs Standard Webhooks
// messages. A name may stand there several times, so that an old and a new key are both good during a rotation. Empty
// lines and lines that begin with # are passed over.
type Keys struct {
	file string
	log  zerolog.Logger
	set  atomic.Pointer[keySet]

	mu      sync.Mutex
	info    os.FileInfo // of the file that set was read from, or that could not be
	checked time.Time
}

type keySet struct {
	tokens  []tokenKey
	secrets []secretKey
}

type tokenKey struct {
	name string
	hash [sha256.Size]byte
}

type secretKey struct {
	name   string
	secret webhook.Secret
}

const (
	// recheck is how soon a change of the file is noticed.
	recheck     = time.Second
	maxKeysFile = 1 << 20
)

// OpenKeys reads the file. It fails when there is no key in it, or a line is not one, naming the line and never what is
// in it.
func OpenKeys(file string, log zerolog.Logger) (*Keys, error) {
	k := &Keys{file: file, log: log}
	if err := k.load(); err != nil {
		return nil, err
	}
	return k, nil
}

// load reads the file if it is another one than before.
func (k *Keys) load() error {
	k.checked = time.Now()
	f, err := os.Open(k.file)
	if err != nil {
		k.info = nil
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if k.info != nil && os.SameFile(info, k.info) && info.ModTime().Equal(k.info.ModTime()) && info.Size() == k.info.Size() {
		return nil
	}
	k.info = info
	if !info.Mode().IsRegular() || info.Size() > maxKeysFile {
		return fmt.Errorf("%s is not a file of at most %d bytes", k.file, maxKeysFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeysFile))
	if err != nil {
		return err
	}
	set, err := parseKeys(data)
	if err != nil {
		return fmt.Errorf("%s:%w", k.file, err)
	}
	k.set.Store(set)
	return nil
}

// current is the set of the file as it is, at most recheck old. A file that cannot be read or has a fault changes
// nothing: an editor that writes it in two steps must lock nobody out.
func (k *Keys) current() *keySet {
	if k.mu.TryLock() {
		defer k.mu.Unlock()
		if time.Since(k.checked) >= recheck {
			before := k.set.Load()
			if err := k.load(); err != nil {
				k.log.Error().Err(err).Msg("the file of API tokens cannot be used; the keys read before stay good")
			} else if k.set.Load() != before {
				k.log.Info().Msg("the file of API tokens was read again")
			}
		}
	}
	return k.set.Load()
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func parseKeys(data []byte) (*keySet, error) {
	set := &keySet{}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if !keyName.MatchString(name) {
			return nil, fmt.Errorf("%d: the line does not begin with a name (A-Z a-z 0-9 . _ -, at most 64) and a colon; unrole api token NAME makes a line", n)
		}
		if strings.HasPrefix(value, "whsec_") {
			secret, err := webhook.ParseSecret(value)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", n, err)
			}
			set.secrets = append(set.secrets, secretKey{name, secret})
			continue
		}
		hash, err := hex.DecodeString(value)
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("%d: after %s: there is neither a SHA-256 in hexadecimal nor a whsec_ secret; unrole api token %s makes a line", n, name, name)
		}
		set.tokens = append(set.tokens, tokenKey{name, [sha256.Size]byte(hash)})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n+1, err)
	}
	if len(set.tokens)+len(set.secrets) == 0 {
		return nil, errors.New("1: there is no key; unrole api token NAME makes one")
	}
	return set, nil
}

// bearer finds the name of the token's owner. Every key is compared, each in constant time.
func (s *keySet) bearer(token string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for _, k := range s.tokens {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			name, ok = k.name, true
		}
	}
	return name, ok
}

// signer finds the name of whoever signed the message.
func (s *keySet) signer(m webhook.Message, body []byte) (name string, ok bool) {
	for _, k := range s.secrets {
		if m.SignedBy(k.secret, body) {
			name, ok = k.name, true
		}
	}
	return name, ok
}

// NewToken makes a bearer token of 256 random bits for a caller, and the line of the file that lets it in.
func NewToken(name string) (token, line string, err error) {
	if !keyName.MatchString(name) {
		return "", "", fmt.Errorf("name %.80q is not 1 to 64 of A-Z a-z 0-9 . _ -", name)
	}
	var random [32]byte
	rand.Read(random[:]) // never fails
	token = "unrole_" + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(token))
	return token, name + ":" + hex.EncodeToString(hash[:]), nil
}

// NewSigningSecret makes a secret for a caller that signs its messages, and the line of the file that lets it in.
func NewSigningSecret(name string) (secret, line string, err error) {
	if !keyName.MatchString(name) {
		return "", "", fmt.Errorf("name %.80q is not 1 to 64 of A-Z a-z 0-9 . _ -", name)
	}
	secret = webhook.NewSecretText()
	return secret, name + ":" + secret, nil
}
