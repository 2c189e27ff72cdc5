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
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/record/webhook"
)

// Keys are the callers that the intake knows, from a file that may change at any time. Each line is NAME:HASH, the
// SHA-256 of a bearer token in hexadecimal, or NAME:SECRET, the secret of a caller that signs Standard Webhooks
// messages, in any form that webhook.ParseSecret takes. A name may stand there several times, so that an old and a new key are
// both good during a rotation. Empty lines and lines that begin with # are passed over. A line with a fault changes nothing
// for its own name and keeps no other line out.
type Keys struct {
	file string
	log  zerolog.Logger
	set  atomic.Pointer[keySet]

	mu      sync.Mutex
	info    os.FileInfo // of the file that set was read from, or that could not be
	checked time.Time
	fault   error // of the last reading
}

type keySet struct {
	tokens  []tokenKey
	secrets []secretKey
	faults  []keyFault
}

// keyFault is a line that is no key.
type keyFault struct {
	line int
	name string // whose key it was to be, as far as that can be told
	why  error
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

// OpenKeys reads the file. It fails when there is no key in it. A line that is not one is logged; errors name lines and never
// what is in them.
func OpenKeys(file string, log zerolog.Logger) (*Keys, error) {
	k := &Keys{file: file, log: log}
	if err := k.load(); err != nil {
		return nil, err
	}
	k.logFaults()
	return k, nil
}

// Fault says what is wrong with the file as it was read last; nil means nothing.
func (k *Keys) Fault() error {
	set := k.current()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault != nil {
		return fmt.Errorf("%w; the keys read before stay good", k.fault)
	}
	return k.faultsOf(set)
}

// faultsOf puts the faulty lines of a set into one sentence.
func (k *Keys) faultsOf(set *keySet) error {
	if len(set.faults) == 0 {
		return nil
	}
	said := make([]string, 0, maxKeyFaults+1)
	for i, f := range set.faults {
		if i == maxKeyFaults {
			said = append(said, fmt.Sprintf("%d more lines", len(set.faults)-i))
			break
		}
		said = append(said, fmt.Sprintf("%s:%d: %v", k.file, f.line, f.why))
	}
	return fmt.Errorf("%s; every other line is in use", strings.Join(said, "; "))
}

func (k *Keys) logFaults() {
	if err := k.faultsOf(k.set.Load()); err != nil {
		k.log.Error().Err(err).Msg("the file of API tokens has lines that are no keys")
	}
}

// maxKeyFaults is how many faulty lines are named.
const maxKeyFaults = 5

// load reads the file if it is another one than before.
func (k *Keys) load() error {
	k.checked = time.Now()
	k.fault = k.read()
	return k.fault
}

func (k *Keys) read() error {
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
		return k.fault
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
	if before := k.set.Load(); before != nil {
		set.keepOf(before)
	}
	if len(set.tokens)+len(set.secrets) == 0 {
		return k.faultsOf(set)
	}
	k.set.Store(set)
	return nil
}

// current is the set of the file as it is, at most recheck old. A file that cannot be read or has no key changes
// nothing: an editor that writes it in two steps must lock nobody out.
func (k *Keys) current() *keySet {
	if k.mu.TryLock() {
		defer k.mu.Unlock()
		if time.Since(k.checked) >= recheck {
			before, known := k.set.Load(), k.fault
			if err := k.load(); err != nil && (known == nil || err.Error() != known.Error()) {
				k.log.Error().Err(err).Msg("the file of API tokens cannot be used; the keys read before stay good")
			} else if k.set.Load() != before {
				k.log.Info().Msg("the file of API tokens was read again")
				k.logFaults()
			}
		}
	}
	return k.set.Load()
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// parseKeys reads the lines; those that are no keys are the set's faults. It fails where there is neither.
func parseKeys(data []byte) (*keySet, error) {
	set := &keySet{}
	lines := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	lines.Buffer(nil, maxKeysFile+1)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if !keyName.MatchString(name) {
			set.faults = append(set.faults, keyFault{n, "", errors.New("the line does not begin with a name (A-Z a-z 0-9 . _ -, at most 64) and a colon; unrole api token NAME makes a line")})
			continue
		}
		if err := set.add(name, value); err != nil {
			set.faults = append(set.faults, keyFault{n, name, err})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", n+1, err)
	}
	if len(set.tokens)+len(set.secrets)+len(set.faults) == 0 {
		return nil, errors.New("1: there is no key; unrole api token NAME makes one")
	}
	return set, nil
}

var hexOnly = regexp.MustCompile(`^[0-9a-fA-F]*$`)

// add takes what follows a name and its colon: a hash, or a secret. Hexadecimal of another length is a mistyped hash, although it
// is base64 too.
func (s *keySet) add(name, value string) error {
	if hash, err := hex.DecodeString(value); err == nil && len(hash) == sha256.Size {
		s.tokens = append(s.tokens, tokenKey{name, [sha256.Size]byte(hash)})
		return nil
	}
	secret, err := webhook.ParseSecret(value)
	switch {
	case err == nil && !hexOnly.MatchString(value):
		s.secrets = append(s.secrets, secretKey{name, secret})
		return nil
	case strings.Contains(value, "whsec_"):
		return err
	}
	return fmt.Errorf("after %s: there is neither a SHA-256 in hexadecimal nor a whsec_ secret; unrole api token %s makes a line", name, name)
}

// keepOf takes the keys over that another set has of the names of faulty lines.
func (s *keySet) keepOf(before *keySet) {
	for _, f := range s.faults {
		of := func(name string) bool { return name != "" && name == f.name }
		for _, k := range before.tokens {
			if of(k.name) && !slices.Contains(s.tokens, k) {
				s.tokens = append(s.tokens, k)
			}
		}
		for _, k := range before.secrets {
			if of(k.name) && !slices.ContainsFunc(s.secrets, func(have secretKey) bool { return have.name == k.name && have.secret.Equal(k.secret) }) {
				s.secrets = append(s.secrets, k)
			}
		}
	}
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

// signs reports whether a request is one of those that are known by their signature. Where nobody has a secret for that, no
// signature is worth reading a body for.
func (s *keySet) signs(h http.Header) bool {
	return len(s.secrets) > 0 && webhook.Signed(h) && h.Get("Authorization") == ""
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
