package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
)

// maxName bounds what somebody or a role is named by, in characters.
const maxName = 200

// removal reads one element of removals.
func (r *reader) removal(at string, rect *rectangle) error {
	who, what := false, false
	err := r.object(at, nil, map[string]func(string) error{
		"user_ids": func(at string) error {
			who = true
			return r.list(at, func(at string) error { return r.text(at, rect.addUser) })
		},
		"users": func(at string) error {
			who = true
			return r.list(at, func(at string) error { return r.person(at, rect) })
		},
		"role_ids": func(at string) error {
			what = true
			return r.list(at, func(at string) error { return r.roleID(at, rect) })
		},
		"roles": func(at string) error {
			what = true
			return r.list(at, func(at string) error { return r.role(at, &rect.named) })
		},
		"all_roles": func(at string) error {
			err := r.truth(at, &rect.all)
			what = what || rect.all
			return err
		},
	})
	if n := len(r.faults); err != nil || n > 0 && r.faults[n-1].Pointer == at { // it is no object
		return err
	}
	if !who {
		r.fault(at+"/user_ids", "it is missing, and so is users")
	}
	if !what {
		r.fault(at+"/role_ids", "it is missing, and so are roles and all_roles")
	}
	return nil
}

// person reads somebody by all that is said of them.
func (r *reader) person(at string, rect *rectangle) error {
	var said []lists.Person
	fields := map[string]func(string) error{}
	for name, kind := range map[string]lists.NamedBy{"user_id": lists.UserID, "union_id": lists.UnionID, "mobile": lists.Mobile,
		"job_number": lists.JobNumber, "email": lists.Email, "name": lists.Name} {
		fields[name] = func(at string) error {
			return r.text(at, func(s string) error {
				s = strings.TrimSpace(s)
				said = append(said, lists.Person{By: kind, Text: s})
				if kind == lists.UserID {
					return checkUser(s)
				}
				return checkName(s)
			})
		}
	}
	had := len(r.faults) + r.more
	if err := r.object(at, nil, fields); err != nil {
		return err
	}
	switch {
	case len(said) > 0:
		rect.people = append(rect.people, asked.PersonOf(said...))
	case len(r.faults)+r.more == had:
		r.fault(at, "it names nobody: user_id, union_id, mobile, job_number, email or name is missing")
	}
	return nil
}

// role reads a role by its name or group/name, or by its id.
func (r *reader) role(at string, into *[]lists.Role) error {
	var role lists.Role
	var wrong error
	switch r.Next() {
	case '"':
		text, err := r.String()
		if err != nil {
			return err
		}
		role.Name = strings.TrimSpace(string(text))
		wrong = checkName(role.Name)
	case '0':
		number, err := r.Number()
		if err != nil {
			return err
		}
		role.ID, wrong = lists.ParseRoleID(string(number))
	default:
		return r.wrong(at, "the name of a role")
	}
	if wrong != nil {
		r.fault(at, "%v", wrong)
	}
	*into = append(*into, role)
	return nil
}

func checkName(s string) error {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return errors.New("it is empty")
	case n > maxName:
		return fmt.Errorf("it has %d characters, at most %d are possible", n, maxName)
	case strings.ContainsRune(s, utf8.RuneError):
		return errors.New("it has the character U+FFFD, which stands for text that was broken on its way")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("it has a control character or a line break")
	}
	return nil
}

// unresolvedWords are what may be done about people and roles that are not certain.
var unresolvedWords = []string{"refuse", "skip"}

// lookingUp reads the fields that are about looking up.
func (r *reader) lookingUp(req *removalRequest) map[string]func(string) error {
	return map[string]func(string) error{
		"keep_roles": func(at string) error {
			return r.list(at, func(at string) error { return r.role(at, &req.keep) })
		},
		"unresolved": func(at string) error {
			return r.text(at, func(s string) error {
				req.skip = s == "skip"
				if !slices.Contains(unresolvedWords, s) {
					return fmt.Errorf("%.80q is not one of %s", s, strings.Join(unresolvedWords, ", "))
				}
				return nil
			})
		},
		"preflight": func(at string) error {
			req.preflight = new(bool)
			return r.truth(at, req.preflight)
		},
	}
}

// names reports whether something is named otherwise than by an id.
func (req *removalRequest) names() bool {
	return slices.ContainsFunc(req.rectangles, func(rect rectangle) bool { return rect.people != nil || rect.named != nil || rect.all })
}

// checkLooking finds what contradicts itself about looking up.
func (r *reader) checkLooking(req *removalRequest) {
	all := slices.ContainsFunc(req.rectangles, func(rect rectangle) bool { return rect.all })
	if req.keep != nil && !all {
		r.fault("/keep_roles", "it goes with all_roles")
	}
	if req.preflight != nil && !*req.preflight && req.names() {
		r.fault("/preflight", "it is false, and yet people or roles have to be looked up")
	}
}

// mustLook reports whether a worker has to look up what is asked for before anything is sent.
func (a *API) mustLook(req *removalRequest) bool {
	if req.preflight != nil {
		return *req.preflight
	}
	return a.cfg.Preflight || req.names()
}

// ask stores a removal for a worker to look up: it does not wait for DingTalk.
func (a *API) ask(r *http.Request, req *removalRequest, who caller) (enqueue.Submitted, error) {
	request := &asked.Request{Keep: req.keep, SkipUnresolved: req.skip, MaxUsersPerDay: a.cfg.MaxUsersPerDay}
	for _, rect := range req.rectangles {
		e := asked.Element{UserIDs: rect.users, Users: rect.people, Roles: rect.named, AllRoles: rect.all}
		for _, id := range rect.roles {
			e.Roles = append(e.Roles, lists.Role{ID: id})
		}
		request.Elements = append(request.Elements, e)
	}
	if request.Pairs() > MaxPairs {
		return enqueue.Submitted{}, newProblem(http.StatusUnprocessableEntity, "guard", "more than %d pairs are asked for in one request: split it into several", MaxPairs)
	}
	ctx, cancel := a.storing(r)
	defer cancel()
	done, err := a.cfg.Asked.Ask(ctx, asked.Asking{Request: request, JobID: req.JobID, Source: req.Source, Reason: req.Reason, Priority: req.Priority,
		At: req.At, SubmittedBy: "api:" + who.name, MaxUsers: a.cfg.MaxUsers})
	if err != nil {
		return done, refusal(err, req.faultsOf)
	}
	return done, nil
}
