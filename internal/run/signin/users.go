package signin

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"
)

// Users are the people who may sign in, from a file that may change at any time. Each line is NAME:HASH:ROLE: what
// `htpasswd -nB -C 12 NAME` prints, and viewer, operator or approver after it. Empty lines and lines that begin with #
// are passed over.
type Users struct {
	file string
	log  zerolog.Logger

	mu      sync.Mutex
	users   map[string]user
	read    []byte // sum of the file that users are of
	checked time.Time
}

type user struct {
	Person
	hash []byte
	// mark changes with the line, so that a changed password or role ends the sessions of before.
	mark string
}

const (
	// recheck is how soon a change of the file is noticed.
	recheck = time.Second
	// maxUsersFile is far above any list of people who approve removals.
	maxUsersFile = 1 << 20
	maxName      = 64 // characters
	// leastCost is the cheapest hash that is taken: a tenth of a second a try.
	leastCost = 10
)

// OpenUsers reads the file. It fails when nobody is in it, or a line is not one, naming the line and never what is in it.
func OpenUsers(file string, log zerolog.Logger) (*Users, error) {
	u := &Users{file: file, log: log}
	if err := u.load(); err != nil {
		return nil, err
	}
	return u, nil
}

// load reads the file if it is another one than before.
func (u *Users) load() error {
	u.checked = time.Now()
	f, err := os.Open(u.file)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxUsersFile+1))
	if err != nil {
		return err
	}
	if len(data) > maxUsersFile {
		return fmt.Errorf("%s is larger than %d bytes", u.file, maxUsersFile)
	}
	sum := sha256.Sum256(data)
	if bytes.Equal(sum[:], u.read) {
		return nil
	}
	users, err := parseUsers(data)
	if err != nil {
		return fmt.Errorf("%s%w", u.file, err)
	}
	u.users, u.read = users, sum[:]
	return nil
}

// find is somebody of the file as it is, at most recheck old. A file that cannot be read or has a fault changes nothing: an
// editor that writes it in two steps must lock nobody out.
func (u *Users) find(name string) (user, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.checked) >= recheck {
		if err := u.load(); err != nil {
			u.log.Error().Err(err).Msg("the users file was changed and cannot be read: those from before may sign in")
		}
	}
	found, known := u.users[name]
	return found, known
}

// cost is that of the dearest hash.
func (u *Users) cost() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	most := leastCost
	for _, one := range u.users {
		cost, _ := bcrypt.Cost(one.hash) // looked at before
		most = max(most, cost)
	}
	return most
}

var roles = map[string]Role{"viewer": Viewer, "operator": Operator, "approver": Approver}

func parseUsers(data []byte) (map[string]user, error) {
	users := map[string]user{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		fault := func(what string) error { return fmt.Errorf(":%d: %s", n, what) }
		parts := strings.Split(line, ":")
		if len(parts) != 3 {
			return nil, fault("not NAME:HASH:ROLE: write what htpasswd -nB -C 12 NAME prints, and :viewer, :operator or :approver after it")
		}
		name, hash := parts[0], parts[1]
		role, known := roles[strings.TrimSpace(parts[2])]
		cost, err := bcrypt.Cost([]byte(hash))
		_, twice := users[name]
		switch {
		case name == "" || utf8.RuneCountInString(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			return nil, fault(fmt.Sprintf("the name is empty, longer than %d characters, or has signs that cannot be printed", maxName))
		case !known:
			return nil, fault("the role is not one of viewer, operator, approver")
		case err != nil:
			return nil, fault("the hash is not one of bcrypt: make it with htpasswd -nB -C 12 NAME")
		case cost < leastCost:
			return nil, fault(fmt.Sprintf("the hash has cost %d, which is guessed fast: make it with htpasswd -nB -C 12 NAME", cost))
		case twice:
			return nil, fault("the name stands there twice")
		}
		sum := sha256.Sum256([]byte(line))
		users[name] = user{Person{Name: name, Role: role, Known: true}, []byte(hash), hex.EncodeToString(sum[:8])}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	if len(users) == 0 {
		return nil, errors.New(": nobody is in it, so nobody could sign in")
	}
	return users, nil
}
