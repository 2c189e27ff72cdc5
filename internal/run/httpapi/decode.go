package httpapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/words"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/jsonwalk"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/tasks"
)

// removalRequest is the body of POST /v1/removals, read and checked.
type removalRequest struct {
	JobID, Source, Reason, Priority string
	At                              time.Time
	rectangles                      []rectangle
	keep                            []lists.Role
	skip                            bool
	preflight                       *bool // nil where nothing is said of it
}

// rectangle is one element of removals: each of its users loses each of its roles.
type rectangle struct {
	users []string
	roles []int64
	// people and named have to be looked up; all takes all roles that each of them holds.
	people []asked.Person
	named  []lists.Role
	all    bool
}

const (
	// maxFaults is how many bad fields a problem names.
	maxFaults = 100
	// maxText bounds source and reason, in characters.
	maxText = 500
)

// reader walks through a body once, from left to right, and collects what is wrong with it.
type reader struct {
	jsonwalk.Walker
	faults []Fault
	more   int
}

// decode reads the body of a removal.
func decode(body []byte) (*removalRequest, *problem) {
	req := &removalRequest{}
	if p := walk(body, func(r *reader) error { return r.request(req) }); p != nil {
		return nil, p
	}
	return req, nil
}

// walk reads a body whose one value take reads. Text that is not JSON gives a problem with its place, bad fields one that names
// all of them.
func walk(body []byte, take func(*reader) error) *problem {
	if !utf8.Valid(body) {
		return newProblem(http.StatusBadRequest, "not-json", "the body is not valid UTF-8")
	}
	r := &reader{Walker: jsonwalk.Over(body)}
	err := take(r)
	if err == nil {
		err = r.End()
	}
	if fault := (*jsonwalk.Fault)(nil); errors.As(err, &fault) {
		why := fault.Error()
		if fault.Early {
			why = "it ends too early"
		}
		return newProblem(http.StatusBadRequest, "not-json", "at byte %d: %s", fault.At+1, why)
	}
	if len(r.faults) > 0 {
		return r.problem()
	}
	return nil
}

// problem names all faults.
func (r *reader) problem() *problem {
	n := len(r.faults) + r.more
	p := newProblem(http.StatusUnprocessableEntity, "invalid-request", "%d %s wrong; nothing was done", n, map[bool]string{true: "field is", false: "fields are"}[n == 1])
	p.Errors, p.MoreErrors = r.faults, r.more
	return p
}

func (r *reader) fault(at, format string, args ...any) {
	if len(r.faults) >= maxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, Fault{Pointer: at, Detail: fmt.Sprintf(format, args...)})
}

func (r *reader) request(req *removalRequest) error {
	fields := r.lookingUp(req)
	maps.Copy(fields, map[string]func(string) error{
		"job_id": func(at string) error {
			return r.text(at, func(s string) error {
				req.JobID = s
				return tasks.ValidateJobID(s)
			})
		},
		"source": func(at string) error { return r.text(at, prose(&req.Source)) },
		"reason": func(at string) error { return r.text(at, prose(&req.Reason)) },
		"priority": func(at string) error {
			return r.text(at, func(s string) error {
				req.Priority = s
				if !tasks.IsLane(s) {
					return fmt.Errorf("priority %.80q is not one of %s", s, strings.Join(tasks.Lanes(), ", "))
				}
				return nil
			})
		},
		"at": func(at string) error {
			return r.text(at, func(s string) (err error) {
				if req.At, err = time.Parse(time.RFC3339, s); err != nil {
					return fmt.Errorf("%.80q is not a time with offset such as 2026-12-31T18:00:00+08:00", s)
				}
				if req.At.Year() > 2100 {
					return errors.New("the time is after the year 2100")
				}
				return nil
			})
		},
		"removals": func(at string) error {
			return r.list(at, func(at string) error {
				var rect rectangle
				err := r.removal(at, &rect)
				req.rectangles = append(req.rectangles, rect)
				return err
			})
		},
	})
	err := r.object("", []string{"source", "reason", "removals"}, fields)
	r.checkLooking(req)
	return err
}

func (rect *rectangle) addUser(id string) error {
	rect.users = append(rect.users, id)
	return checkUser(id)
}

func checkUser(id string) error {
	if strings.ContainsRune(id, utf8.RuneError) {
		return errors.New("the id has the character U+FFFD, which stands for text that was broken on its way")
	}
	return tasks.ValidateUserID(id)
}

// prose takes a text for people: not empty, of printable characters.
func prose(into *string) func(string) error {
	return func(s string) error {
		*into = s
		if strings.TrimSpace(s) == "" {
			return errors.New("it is empty")
		}
		if n := utf8.RuneCountInString(s); n > maxText {
			return fmt.Errorf("it has %d characters, at most %d are possible", n, maxText)
		}
		if strings.ContainsFunc(s, unicode.IsControl) {
			return errors.New("it has a control character or a line break")
		}
		return nil
	}
}

// object reads an object with these fields, of which the required ones must be there. Only a fault of the JSON is returned.
func (r *reader) object(at string, required []string, fields map[string]func(at string) error) error {
	if r.Next() != '{' {
		return r.wrong(at, "an object")
	}
	seen := map[string]bool{}
	err := r.Object(func(name []byte, _ int) error {
		key := string(name)
		place := at + "/" + escape(key)
		read := fields[key]
		switch {
		case read == nil:
			r.fault(place, "there is no field of that name")
			return r.Skip()
		case seen[key]:
			r.fault(place, "the field stands there twice")
			return r.Skip()
		}
		seen[key] = true
		return read(place)
	})
	for _, key := range required {
		if !seen[key] {
			r.fault(at+"/"+key, "it is missing")
		}
	}
	return err
}

// list reads a list of at least one element.
func (r *reader) list(at string, element func(at string) error) error {
	if r.Next() != '[' {
		return r.wrong(at, "a list")
	}
	n := 0
	err := r.List(func() error {
		n++
		return element(at + "/" + strconv.Itoa(n-1))
	})
	if n == 0 {
		r.fault(at, "the list is empty")
	}
	return err
}

// text reads a string.
func (r *reader) text(at string, take func(string) error) error {
	if r.Next() != '"' {
		return r.wrong(at, "a string")
	}
	s, err := r.String()
	if err != nil {
		return err
	}
	if err := take(string(s)); err != nil {
		r.fault(at, "%v", err)
	}
	return nil
}

// truth reads true or false.
func (r *reader) truth(at string, into *bool) error {
	switch r.Next() {
	case 't', 'f':
		*into = r.Next() == 't'
		return r.Skip()
	}
	return r.wrong(at, "true or false")
}

// roleID reads a role id: a number, or a string for programs whose numbers end at 2^53.
func (r *reader) roleID(at string, rect *rectangle) error {
	read := r.Number
	switch r.Next() {
	case '0':
	case '"':
		read = r.String
	default:
		return r.wrong(at, "a number")
	}
	text, err := read()
	if err != nil {
		return err
	}
	id, err := lists.ParseRoleID(string(text))
	if err != nil {
		r.fault(at, "%v", err)
	}
	rect.roles = append(rect.roles, id)
	return nil
}

// kinds are what values are, by Next.
var kinds = map[byte]string{'{': "an object", '[': "a list", '"': "a string", '0': "a number", 't': "true or false", 'f': "true or false", 'n': "null"}

// wrong notes that the next value is of the wrong kind, and passes over it.
func (r *reader) wrong(at, want string) error {
	have := kinds[r.Next()]
	if err := r.Skip(); err != nil {
		return err
	}
	r.fault(at, "it is %s, not %s", have, want)
	return nil
}

// escape writes a key as part of a JSON pointer; foreign keys may be long.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(words.Clip(key, 80))
}

// removals puts the rectangles into one set. It fails when they are more pairs than one submission may have.
func (req *removalRequest) removals() (*enqueue.Removals, *problem) {
	pairs := 0
	for _, rect := range req.rectangles {
		if len(rect.roles) > (MaxPairs-pairs)/len(rect.users) {
			return nil, newProblem(http.StatusUnprocessableEntity, "guard", "more than %d pairs are asked for in one request: split it into several", MaxPairs)
		}
		pairs += len(rect.users) * len(rect.roles)
	}
	set := &enqueue.Removals{}
	for _, rect := range req.rectangles {
		for _, user := range rect.users {
			for _, role := range rect.roles {
				set.Add(user, role)
			}
		}
	}
	return set, nil
}

// faultsOf finds the places of protected ids.
func (req *removalRequest) faultsOf(e *enqueue.ProtectedError) []Fault {
	users, roles := map[string]bool{}, map[int64]bool{}
	for _, u := range e.Users {
		users[u] = true
	}
	for _, r := range e.Roles {
		roles[r] = true
	}
	found := &reader{}
	for i, rect := range req.rectangles {
		for j, u := range rect.users {
			if users[u] {
				found.fault(fmt.Sprintf("/removals/%d/user_ids/%d", i, j), "user %s is protected", u)
			}
		}
		for j, p := range rect.people {
			if p.By == lists.UserID && users[p.Text] {
				found.fault(fmt.Sprintf("/removals/%d/users/%d", i, j), "user %s is protected", p.Text)
			}
		}
		for j, r := range rect.roles {
			if roles[r] {
				found.fault(fmt.Sprintf("/removals/%d/role_ids/%d", i, j), "role %d is protected", r)
			}
		}
	}
	return found.faults
}
