package signin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/crypto/bcrypt"

	"github.com/unrole/unrole/internal/test/redistest"
)

func hashOf(t *testing.T, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// door is a guard with names before pages that say who asks.
type door struct {
	*testing.T
	memory *miniredis.Miniredis
	rdb    *redis.Client
	file   string
	users  *Users
	guard  http.Handler
	cookie *http.Cookie
}

func newDoor(t *testing.T) *door {
	memory, rdb := redistest.Memory(t)
	d := &door{T: t, memory: memory, rdb: rdb, file: filepath.Join(t.TempDir(), "users")}
	d.write("# who may\n", "ann:", hashOf(t, "right", leastCost), ":approver\nbob:", hashOf(t, "other", leastCost), ":viewer\n")
	var err error
	if d.users, err = OpenUsers(d.file, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	pages := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%+v", Of(r)) })
	page := func(w http.ResponseWriter, _ *http.Request, f Form, status int) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "form %+v", f)
	}
	if d.guard, err = New(Config{Redis: rdb, Pages: pages, Prefix: "/unrole", Users: d.users, Page: page, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) write(parts ...string) {
	d.Helper()
	if err := os.WriteFile(d.file, []byte(strings.Join(parts, "")), 0o600); err != nil {
		d.Fatal(err)
	}
}

func (d *door) ask(method, path string, form url.Values) *httptest.ResponseRecorder {
	d.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if d.cookie != nil {
		r.AddCookie(d.cookie)
	}
	w := httptest.NewRecorder()
	d.guard.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		d.cookie = c
	}
	return w
}

func (d *door) signIn(name, password, next string) *httptest.ResponseRecorder {
	d.Helper()
	return d.ask("POST", "/unrole/signin", url.Values{"name": {name}, "password": {password}, "next": {next}})
}

func (d *door) inside() bool {
	d.Helper()
	return strings.Contains(d.ask("GET", "/unrole/", nil).Body.String(), "Name:ann Role:3 Known:true Shared:false")
}

func TestPeopleSignInByName(t *testing.T) {
	d := newDoor(t)
	if w := d.ask("GET", "/unrole/jobs/x?from=2", nil); w.Code != 303 || w.Header().Get("Location") != "/unrole/signin?next=%2Funrole%2Fjobs%2Fx%3Ffrom%3D2" {
		t.Errorf("who has not signed in: %d %v", w.Code, w.Header())
	}
	for name, password := range map[string]string{"ann": "wrong", "bob": "right", "eve": "right", "": "", "ann ": ""} {
		if w := d.signIn(name, password, "/unrole/"); w.Code != 401 || !strings.Contains(w.Body.String(), "Wrong:true") || d.cookie != nil {
			t.Errorf("%q with %q: %d %s", name, password, w.Code, w.Body)
		}
	}
	if w := d.signIn("ann", "right", "/unrole/jobs/x?from=2"); w.Code != 303 || w.Header().Get("Location") != "/unrole/jobs/x?from=2" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if c := d.cookie; !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/unrole/" || len(c.Value) < 20 {
		t.Errorf("%+v", c)
	}
	if !d.inside() {
		t.Error("she is not known inside")
	}
	for _, key := range d.memory.Keys() {
		if strings.Contains(key, d.cookie.Value) {
			t.Errorf("Redis has what opens the door: %s", key)
		}
	}
}

func TestASessionEnds(t *testing.T) {
	for how, end := range map[string]func(*door){
		"by the sign-out":     func(d *door) { kept := d.cookie; d.ask("POST", "/unrole/signout", nil); d.cookie = kept },
		"when nobody uses it": func(d *door) { d.memory.FastForward(sessionIdle) },
		"with another password": func(d *door) {
			d.write("ann:", hashOf(d.T, "new", leastCost), ":approver\n")
			d.users.checked = time.Time{}
		},
		"when she is off the list": func(d *door) {
			d.write("bob:", hashOf(d.T, "other", leastCost), ":viewer\n")
			d.users.checked = time.Time{}
		},
		"with another role of hers": func(d *door) {
			data, _ := os.ReadFile(d.file)
			d.write(strings.Replace(string(data), "approver", "viewer", 1))
			d.users.checked = time.Time{}
		},
	} {
		t.Run(how, func(t *testing.T) {
			d := newDoor(t)
			d.signIn("ann", "right", "")
			if !d.inside() {
				t.Fatal("she is not inside")
			}
			end(d)
			if d.inside() {
				t.Error("she is still inside")
			}
			if w := d.ask("POST", "/unrole/jobs/x/cancel", nil); w.Code != 401 || !strings.Contains(w.Body.String(), "form") {
				t.Errorf("a form that is sent then: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestPasswordsCannotBeGuessed(t *testing.T) {
	d := newDoor(t)
	for range triesOfName {
		if w := d.signIn("ann", "guess", ""); w.Code != 401 {
			t.Fatalf("%d", w.Code)
		}
	}
	if w := d.signIn("ann", "right", ""); w.Code != 429 || !strings.Contains(w.Body.String(), "Wait:true") {
		t.Errorf("after %d wrong ones: %d %s", triesOfName, w.Code, w.Body)
	}
	if w := d.signIn("bob", "other", ""); w.Code != 303 {
		t.Errorf("somebody else: %d", w.Code)
	}
	d.memory.FastForward(triesFor)
	if w := d.signIn("ann", "right", ""); w.Code != 303 {
		t.Errorf("a quarter of an hour later: %d", w.Code)
	}
}

// One address cannot fill Redis with names, and who signs in rightly uses nobody's tries up.
func TestAnAddressHasItsTries(t *testing.T) {
	d := newDoor(t)
	from := "unrole:signin:from:" + digest("192.0.2.1")
	d.signIn("ann", "guess", "")
	d.signIn("bob", "other", "")
	n, err := d.memory.Get(from)
	if ttl := d.memory.TTL(from); err != nil || n != "1" || ttl > triesFor || ttl < triesFor*9/10 {
		t.Fatalf("a wrong and a right password count %s for %v, %v", n, ttl, err)
	}
	d.rdb.IncrBy(t.Context(), from, triesFrom-2)
	if w := d.signIn("bob", "other", ""); w.Code != 303 {
		t.Errorf("the last try: %d", w.Code)
	}
	d.signIn("last", "guess", "")
	before := len(d.memory.Keys())
	for i := range 20 {
		if w := d.signIn(fmt.Sprint("name", i), "guess", ""); w.Code != 429 {
			t.Fatalf("guess %d: %d", i, w.Code)
		}
	}
	if made := len(d.memory.Keys()) - before; made > 0 {
		t.Errorf("guesses beyond them made %d keys", made)
	}
	d.memory.FastForward(triesFor)
	if w := d.signIn("bob", "other", ""); w.Code != 303 {
		t.Errorf("a quarter of an hour later: %d", w.Code)
	}
}

// asked remembers the commands that Redis is sent.
type asked struct {
	redis.Hook
	commands []string
}

func (a *asked) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (a *asked) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (a *asked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, c := range cmds {
			a.commands = append(a.commands, fmt.Sprint(c.Args()...))
		}
		return next(ctx, cmds)
	}
}

func TestRedis6CountsTriesToo(t *testing.T) {
	d := newDoor(t)
	seen := &asked{}
	d.rdb.AddHook(seen)
	d.signIn("ann", "guess", "")
	if len(seen.commands) == 0 {
		t.Fatal("nothing was counted")
	}
	for _, c := range seen.commands {
		if strings.HasPrefix(c, "expire") {
			t.Errorf("%s: its NX is of Redis 7", c)
		}
	}
}

func TestSigningInLeadsToNoOtherSite(t *testing.T) {
	d := newDoor(t)
	for _, next := range []string{"//evil.example", "https://evil.example", "/\\evil.example", "/unrole/\\evil", "javascript:alert(1)", "/elsewhere", "", "/unrole/\n"} {
		if w := d.signIn("ann", "right", next); w.Header().Get("Location") != "/unrole/" {
			t.Errorf("%q leads to %q", next, w.Header().Get("Location"))
		}
	}
	r := httptest.NewRequest("POST", "/unrole/signin", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	if d.guard.ServeHTTP(w, r); w.Code != 403 {
		t.Errorf("another site signs somebody in: %d", w.Code)
	}
}

func TestAFaultOfTheUsersFileIsNamedByLine(t *testing.T) {
	good := hashOf(t, "p", leastCost)
	for text, want := range map[string]string{
		"":                                     "nobody is in it",
		"# ann\n\n":                            "nobody is in it",
		"ann:" + good:                          ":1: not NAME:HASH:ROLE",
		"\nann:" + good + ":boss":              ":2: the role is not one of",
		"ann:secret:viewer":                    ":1: the hash is not one of bcrypt",
		"ann:" + hashOf(t, "p", 4) + ":viewer": ":1: the hash has cost 4",
		":" + good + ":viewer":                 ":1: the name is empty",
		"ann:" + good + ":viewer\nann:" + good + ":viewer": ":2: the name stands there twice",
	} {
		file := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenUsers(file, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// An editor writes a file in two steps.
func TestABrokenUsersFileLocksNobodyOut(t *testing.T) {
	d := newDoor(t)
	d.signIn("ann", "right", "")
	d.write("ann:")
	d.users.checked = time.Time{}
	if !d.inside() {
		t.Error("she is locked out")
	}
}
