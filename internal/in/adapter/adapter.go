// Package adapter reads the messages of HR systems that do not speak the JSON of the intake, by a mapping file.
package adapter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Adapter reads what one HR system sends. It is safe for concurrent use.
type Adapter struct {
	// Name is the last part of the address that the system sends to.
	Name string
	// Answer is what the system wants to read where its message was taken or counts for nothing, as JSON; nil is anything.
	Answer []byte

	signature *signature
	token     *token
	encrypted *encrypted

	challenge *pointer
	sent      *moment
	maxAge    time.Duration
	only      []condition
	stays     []condition
	id        *pointer
	people    pointer
	person    []field
	table     *table
	at        *moment
	// removal is what is the same in each; its element has the roles.
	removal removal
	element element

	place place
}

// Message is a request as it came.
type Message struct {
	Header http.Header
	Query  url.Values
	// Sent is the body on the wire, Body the same inflated.
	Sent, Body []byte
	Now        time.Time
}

// Event is what a message that is proven to be the system's own says: one of Challenge, Ignored, Removal and Stays is set.
type Event struct {
	// Challenge is to be sent back, as proof that somebody listens.
	Challenge string
	// Ignored says why the message counts for nothing.
	Ignored string
	// Removal is the body of POST /v1/removals that means the same.
	Removal []byte
	// Stays says that those of Each do not leave after all.
	Stays bool
	// Each is what is said by person, of a system whose messages have no id, or may say that somebody stays.
	Each []Said
	// ID is the system's own name of the event, empty where it has none.
	ID string
	// At is when the message says that it was sent; zero where it does not.
	At time.Time
}

// Said is what a message says of somebody.
type Said struct {
	// Who names them as the system does, in each of its messages alike.
	Who string
	// Removal is the body of POST /v1/removals that means the same; nil of somebody who stays.
	Removal []byte
}

// Unproved says that nobody knows who sent a message: no signature or token that is known here.
type Unproved struct{ Why string }

func (e *Unproved) Error() string { return e.Why }

// NotJSON says that the body of a message is no JSON.
type NotJSON struct{ Err error }

func (e *NotJSON) Error() string { return e.Err.Error() }

// Unreadable lists what a message lacks that the mapping needs.
type Unreadable struct {
	// Faults has at most maxFaults of them, More counts the others.
	Faults []Fault
	More   int
}

// Fault is a place of a message, as a JSON pointer, and what is wrong there.
type Fault struct{ Pointer, Detail string }

func (e *Unreadable) Error() string {
	return fmt.Sprintf("%s: %s", e.Faults[0].Pointer, e.Faults[0].Detail)
}

const maxFaults = 100

func (e *Unreadable) add(at, format string, args ...any) {
	if len(e.Faults) >= maxFaults {
		e.More++
		return
	}
	e.Faults = append(e.Faults, Fault{at, fmt.Sprintf(format, args...)})
}

func (e *Unreadable) err() error {
	if len(e.Faults) == 0 {
		return nil
	}
	return e
}

// Open finds out whether the system itself sent a message, and what it says. Errors: *Unproved, *NotJSON, *Unreadable, or one of
// reading the table of people.
func (a *Adapter) Open(m Message) (Event, error) {
	signed, err := a.signature.check(m)
	if err != nil {
		return Event{}, err
	}
	doc, err := a.read(m)
	if err != nil {
		return Event{}, err
	}
	if err := a.token.check(m, doc); err != nil {
		return Event{}, err
	}
	// Some systems sign all but the first message, which asks whether somebody is there. It says nothing that could be done.
	if echo, ok := a.challenge.text(doc); ok && (signed || a.token != nil) {
		return Event{Challenge: echo}, nil
	}
	if !signed {
		return Event{}, &Unproved{"the message is not signed"}
	}
	e := Event{Stays: a.stays != nil && unmet(a.stays, doc) == nil}
	if c := unmet(a.only, doc); c != nil && !e.Stays {
		return Event{Ignored: fmt.Sprintf("%s is none of those that count", c.at)}, nil
	}
	if e.At, err = a.young(m.Now, doc); err != nil {
		return Event{}, err
	}
	if err := a.translate(doc, &e); err != nil {
		return Event{}, err
	}
	return e, nil
}

// unmet is the first condition that a message does not meet; nil where it meets all.
func unmet(conditions []condition, doc any) *condition {
	for i, c := range conditions {
		if has, _ := c.at.text(doc); !slices.Contains(c.is, has) {
			return &conditions[i]
		}
	}
	return nil
}

// read parses the body, decrypted where the system encrypts.
func (a *Adapter) read(m Message) (any, error) {
	doc, err := parse(bytes.TrimPrefix(m.Body, []byte("\ufeff")))
	if err != nil {
		return nil, &NotJSON{err}
	}
	if a.encrypted == nil {
		return doc, nil
	}
	return a.encrypted.open(doc)
}

// young is when a message was sent; it refuses one that was sent long ago, or will be.
func (a *Adapter) young(now time.Time, doc any) (time.Time, error) {
	if a.sent == nil {
		return time.Time{}, nil
	}
	at, fault := a.sent.read(doc)
	if fault != "" {
		return at, (&Unreadable{Faults: []Fault{{a.sent.at.String(), fault}}}).err()
	}
	if age := now.Sub(at); age > a.maxAge || age < -tolerance {
		return at, &Unproved{fmt.Sprintf("the message says that it was sent at %s, which is too far from now: a message is taken for %v", at.UTC().Format(time.RFC3339), a.maxAge)}
	}
	return at, nil
}

// removal is the body of POST /v1/removals.
type removal struct {
	Source     string    `json:"source"`
	Reason     string    `json:"reason"`
	Priority   string    `json:"priority,omitempty"`
	At         string    `json:"at,omitempty"`
	Removals   []element `json:"removals"`
	Keep       []any     `json:"keep_roles,omitempty"`
	Unresolved string    `json:"unresolved,omitempty"`
}

type element struct {
	Users    []map[string]string `json:"users"`
	Roles    []any               `json:"roles,omitempty"`
	AllRoles bool                `json:"all_roles,omitempty"`
}

// translate makes the intake's own body of a message, or one for each of its people.
func (a *Adapter) translate(doc any, e *Event) error {
	var wrong Unreadable
	r := a.removal
	if a.id != nil {
		var ok bool
		if e.ID, ok = a.id.text(doc); !ok && !e.Stays {
			wrong.add(a.id.String(), "it is missing, or no text: it names the event, so that it is not taken twice")
		}
	}
	if a.at != nil && !e.Stays {
		at, fault := a.at.read(doc)
		if fault != "" {
			wrong.add(a.at.at.String(), "%s: nothing is removed at a time that nobody said", fault)
		}
		r.At = at.Format(time.RFC3339)
	}
	users, who, err := a.users(doc, &wrong)
	if err != nil {
		return err
	}
	if err := wrong.err(); err != nil {
		return err
	}
	if !e.Stays {
		if e.Removal, err = json.Marshal(a.of(r, users)); err != nil {
			return err
		}
	}
	if a.stays == nil && a.id != nil {
		return nil
	}
	for i, user := range users {
		said := Said{Who: who[i]}
		if !e.Stays {
			if said.Removal, err = json.Marshal(a.of(r, []map[string]string{user})); err != nil {
				return err
			}
		}
		e.Each = append(e.Each, said)
	}
	return nil
}

// users are the people of a message, each by all that is said of them, and what the system calls each.
func (a *Adapter) users(doc any, wrong *Unreadable) (users []map[string]string, who []string, err error) {
	value, _ := a.people.find(doc)
	each, listed := value.([]any)
	if !listed && value != nil {
		each = []any{value}
	}
	if len(each) == 0 {
		wrong.add(a.people.String(), "it names nobody")
		return nil, nil, nil
	}
	known, err := a.table.read()
	if err != nil {
		return nil, nil, err
	}
	for i, one := range each {
		at := a.people.String()
		if listed {
			at = fmt.Sprintf("%s/%d", at, i)
		}
		user, own := map[string]string{}, ""
		for _, f := range a.person {
			value, ok := f.at.find(one)
			text, plain := textOf(value)
			switch {
			case ok && !plain:
				wrong.add(at+f.at.String(), "it is no text and no number, where %s is expected", f.name)
			case text == "":
			case f.name == byTable:
				own = text
				if a.table != nil {
					maps.Copy(user, known.person(a.Name, text))
				}
			default:
				user[f.name] = text
			}
		}
		if len(user) == 0 {
			wrong.add(at, "it has nothing that says who is meant")
		}
		if own == "" {
			all, err := json.Marshal(user)
			if err != nil {
				return nil, nil, err
			}
			own = string(all)
		}
		users, who = append(users, user), append(who, own)
	}
	return users, who, nil
}

func (a *Adapter) of(r removal, users []map[string]string) removal {
	e := a.element
	e.Users = users
	r.Removals = []element{e}
	return r
}

// Sample is the body of a removal as this adapter makes them, of somebody made up: what is always the same in it can be checked at once.
func (a *Adapter) Sample() ([]byte, error) {
	return json.Marshal(a.of(a.removal, []map[string]string{{"job_number": "1"}}))
}

// Fault is the error that says that a field of this adapter in the mapping file is wrong.
func (a *Adapter) Fault(field, what string) error { return a.place.fault(a.Name, field, what) }
