// Package tasks is what travels through Redis: the task type, its payload, ids, queue names and the limits of one
// DingTalk call. Producers and workers both import it; it imports nothing of unrole.
package tasks

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
	"unicode/utf8"
)

// TypeRemove is the asynq type of every task of unrole: remove some roles from some users, or, if its Action says so, give
// them. Its payload is a Part.
const TypeRemove = "role:remove"

// Version is the payload version of a part that removes, VersionAdd that of one that gives back: a worker that knows no
// actions must not take the one for the other. This build writes and understands no others. A worker that meets another one
// dead-letters the task, so that nothing is lost when an old worker runs beside a new producer.
const (
	Version    = 1
	VersionAdd = 2
)

// Queues. The first three are lanes, the most urgent first; QueueDeadLetter holds dead letters as tasks that are
// scheduled in the far future.
const (
	QueueUrgent     = "urgent"
	QueueDefault    = "default"
	QueueBulk       = "bulk"
	QueueDeadLetter = "dead-letter"
)

// Lanes lists the queues that take new removals, the most urgent first.
func Lanes() []string { return []string{QueueUrgent, QueueDefault, QueueBulk} }

// IsLane reports whether name is one of Lanes.
func IsLane(name string) bool {
	return name == QueueUrgent || name == QueueDefault || name == QueueBulk
}

// Limits of one DingTalk call (topapi/role/removerolesforemps, documented).
const (
	MaxRoles = 20
	MaxUsers = 100
)

// MaxUsersAdd is the most users of a call that adds roles (topapi/role/addrolesforemps, documented). It takes MaxRoles too.
const MaxUsersAdd = 20

// Action is what a part does with its pairs. The set is closed.
type Action string

const (
	// Remove takes the roles away; the zero value.
	Remove Action = ""
	// Add gives them back.
	Add Action = "add"
)

// MaxUsers is the most users of one call of the action.
func (a Action) MaxUsers() int {
	if a == Add {
		return MaxUsersAdd
	}
	return MaxUsers
}

// Version is the payload version of parts of the action.
func (a Action) Version() int {
	if a == Add {
		return VersionAdd
	}
	return Version
}

// MaxDepartments is the most departments that a management scope can be set to (topapi/role/scope/update, documented).
const MaxDepartments = 50

// Scope is the management scope that a pair had: the departments over which the user had the role.
type Scope struct {
	UserID      string  `json:"user_id"`
	RoleID      int64   `json:"role_id"`
	Departments []int64 `json:"dept_ids"`
}

// MaxUserIDLength is the longest user id DingTalk knows, in characters (documented: 1 to 64).
const MaxUserIDLength = 64

// Part is the payload of a TypeRemove task: a rectangle, some roles times some users, every pair of which was
// requested by its job. A part larger than one call of its action is split by the worker that meets it.
type Part struct {
	// V is the payload version, see Version.
	V int `json:"v"`
	// JobID names the removal that asked for these pairs. Parts of an unknown job are adopted by a worker.
	JobID string `json:"job_id"`
	// Part is the position in the job: "3" as planned, "3.1" a child of "3", "3.1-u17" a dead letter of "3.1".
	Part string `json:"part"`
	// Action is what is done with the pairs.
	Action Action `json:"action,omitempty"`
	// RoleIDs and UserIDs span the rectangle. Neither has duplicates.
	RoleIDs []int64  `json:"role_ids"`
	UserIDs []string `json:"user_ids"`
	// Own says which pairs this part owns, because planned rectangles may overlap. The pair of UserIDs[u] and RoleIDs[r]
	// has the number u*len(RoleIDs)+r. Pairs that are not owned were requested too, and are owned by another part of the
	// same job: calling them is allowed, counting them is not.
	Own Own `json:"own,omitempty"`
	// Scopes are the management scopes that pairs of an Add get when they are given back; a pair without one manages
	// everybody. Those of pairs that are not the part's say nothing.
	Scopes []Scope `json:"scopes,omitempty"`
	// Failure is set on a dead letter only.
	Failure *Failure `json:"failure,omitempty"`
}

// Failure says why a part is a dead letter.
type Failure struct {
	Reason    Reason    `json:"reason"`
	ErrCode   int       `json:"errcode"`
	SubCode   string    `json:"sub_code,omitempty"`
	ErrMsg    string    `json:"errmsg"`
	RequestID string    `json:"request_id,omitempty"`
	Attempts  int       `json:"attempts"`
	FailedAt  time.Time `json:"failed_at"`
	// Queue is the lane the part came from and returns to when it is tried again.
	Queue string `json:"queue"`
	// Payload is the original task payload where it could not be decoded (ReasonBadPayload), else empty.
	Payload []byte `json:"payload,omitempty"`
}

// Reason is why a part is a dead letter. The set is closed.
type Reason string

const (
	ReasonInvalidRole    Reason = "invalid_role"
	ReasonSystemRole     Reason = "system_role"
	ReasonInvalidUser    Reason = "invalid_user"
	ReasonUserGone       Reason = "user_gone"
	ReasonUserOutOfScope Reason = "user_out_of_scope"
	ReasonBusy           Reason = "busy"
	ReasonBadRequest     Reason = "bad_request"
	ReasonUnknown        Reason = "unknown"
	ReasonBadPayload     Reason = "bad_payload"
	ReasonProtected      Reason = "protected"
	ReasonCrashed        Reason = "crashed"
)

// Reasons lists every Reason, in the order of design and documentation.
func Reasons() []Reason {
	return []Reason{ReasonInvalidRole, ReasonSystemRole, ReasonInvalidUser, ReasonUserGone, ReasonUserOutOfScope,
		ReasonBusy, ReasonBadRequest, ReasonUnknown, ReasonBadPayload, ReasonProtected, ReasonCrashed}
}

// TaskID is the asynq task id of the part.
func (p *Part) TaskID() string { return p.JobID + ":" + p.Part }

// Pairs is the number of pairs in the rectangle, owned or not.
func (p *Part) Pairs() int { return len(p.RoleIDs) * len(p.UserIDs) }

// Owned is the number of pairs that the part owns.
func (p *Part) Owned() int { return p.Own.count(p.Pairs()) }

// EachPair goes through all pairs of the rectangle, user by user.
func (p *Part) EachPair() iter.Seq2[string, int64] {
	return func(yield func(userID string, roleID int64) bool) {
		for _, user := range p.UserIDs {
			for _, role := range p.RoleIDs {
				if !yield(user, role) {
					return
				}
			}
		}
	}
}

// EachOwned goes through the pairs that the part owns, user by user.
func (p *Part) EachOwned() iter.Seq2[string, int64] {
	return func(yield func(userID string, roleID int64) bool) {
		n := 0
		for _, user := range p.UserIDs {
			for _, role := range p.RoleIDs {
				if p.Own.Has(n) && !yield(user, role) {
					return
				}
				n++
			}
		}
	}
}

// ScopesOf are those scopes of the part that are of pairs of another one, which is cut out of it.
func (p *Part) ScopesOf(cut *Part) []Scope {
	var scopes []Scope
	for _, s := range p.Scopes {
		if slices.Contains(cut.UserIDs, s.UserID) && slices.Contains(cut.RoleIDs, s.RoleID) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// Scope is the management scope that the pair gets, nil for one that manages everybody.
func (p *Part) Scope(userID string, roleID int64) []int64 {
	for _, s := range p.Scopes {
		if s.UserID == userID && s.RoleID == roleID {
			return s.Departments
		}
	}
	return nil
}

// Fits reports whether the part is a batch: small enough for one call.
func (p *Part) Fits() bool {
	return len(p.RoleIDs) <= MaxRoles && len(p.UserIDs) <= p.Action.MaxUsers()
}

// Encode returns the payload of the part, with the version of its action. The same part always gives the same bytes.
func (p Part) Encode() ([]byte, error) {
	p.V = p.Action.Version()
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("encode part %s: %w", p.TaskID(), err)
	}
	return json.Marshal(p)
}

// VersionError is returned by Decode for a payload of a version that this build does not know.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("payload version %d is not known to this build (it knows %d and %d): update the worker", e.Version, Version, VersionAdd)
}

// Decode reads a task payload. It returns a *VersionError for another version and an error that names the field for
// anything that is not a valid part. The result shares nothing with data.
func Decode(data []byte) (*Part, error) {
	var p Part
	err := json.Unmarshal(data, &p)
	if err != nil || !known(p.V) {
		// Of another version the fields may be anything: it is looked at alone.
		if err := checkVersion(data); err != nil {
			return nil, err
		}
	}
	if err == nil && p.V != p.Action.Version() {
		err = fmt.Errorf("action: %.80q is none of version %d", p.Action, p.V)
	}
	if err == nil {
		err = p.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return &p, nil
}

func known(version int) bool { return version == Version || version == VersionAdd }

func checkVersion(data []byte) error {
	var head struct {
		V *int `json:"v"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("payload is not a JSON object: %w", err)
	}
	if head.V == nil {
		return errors.New("payload has no version: v is missing")
	}
	if !known(*head.V) {
		return &VersionError{Version: *head.V}
	}
	return nil
}

// ValidateBatch checks that the ids fit one call of the action: 1 to MaxRoles roles, 1 to Action.MaxUsers users, each
// valid and none twice. The error names the field.
func ValidateBatch(action Action, roleIDs []int64, userIDs []string) error {
	if len(roleIDs) > MaxRoles || len(userIDs) > action.MaxUsers() {
		return fmt.Errorf("%d roles and %d users, at most %d and %d fit one call", len(roleIDs), len(userIDs), MaxRoles, action.MaxUsers())
	}
	return validateIDs(roleIDs, userIDs)
}

func validateIDs(roleIDs []int64, userIDs []string) error {
	if err := validateList("role_ids", roleIDs, ValidateRoleID); err != nil {
		return err
	}
	return validateList("user_ids", userIDs, ValidateUserID)
}

func validateList[ID comparable](field string, ids []ID, validate func(ID) error) error {
	if len(ids) == 0 {
		return fmt.Errorf("%s: empty", field)
	}
	seen := make(map[ID]struct{}, len(ids))
	for i, id := range ids {
		if err := validate(id); err != nil {
			return fmt.Errorf("%s[%d]: %w", field, i, err)
		}
		if _, dup := seen[id]; dup {
			return fmt.Errorf("%s[%d]: %v stands there twice", field, i, id)
		}
		seen[id] = struct{}{}
	}
	return nil
}

// Validate checks everything that must hold for a part before it may be enqueued or executed.
func (p *Part) Validate() error {
	if err := ValidateJobID(p.JobID); err != nil {
		return fmt.Errorf("job_id: %w", err)
	}
	if !validPartName(p.Part) {
		return fmt.Errorf("part: %.80q is not a part name such as 3, 3.1 or 3.1-u17", p.Part)
	}
	if p.Action != Remove && p.Action != Add {
		return fmt.Errorf("action: %.80q is not known to this build", p.Action)
	}
	if p.Failure != nil && p.Failure.Reason == ReasonBadPayload {
		return nil // the ids could not be read; Failure.Payload keeps what was there
	}
	if err := validateIDs(p.RoleIDs, p.UserIDs); err != nil {
		return err
	}
	if p.Own != nil {
		if want := ownBytes(p.Pairs()); len(p.Own) != want {
			return fmt.Errorf("own: %d bytes, want %d for %d roles × %d users", len(p.Own), want, len(p.RoleIDs), len(p.UserIDs))
		}
	}
	return p.validateScopes()
}

func (p *Part) validateScopes() error {
	if p.Action != Add && p.Scopes != nil {
		return errors.New("scopes: only a part that adds has them")
	}
	for i, s := range p.Scopes {
		if n := len(s.Departments); n == 0 || n > MaxDepartments {
			return fmt.Errorf("scopes[%d]: %d departments, 1 to %d are possible", i, n, MaxDepartments)
		}
	}
	return nil
}

// ValidateRoleID accepts what DingTalk can know: a positive int64.
func ValidateRoleID(id int64) error {
	if id <= 0 {
		return fmt.Errorf("role id %d is not positive", id)
	}
	return nil
}

// ValidateUserID accepts 1 to 64 characters of valid UTF-8 without a comma (the API joins ids by commas and knows no
// escape), blanks or control characters. Ids are opaque: case and leading zeros matter.
func ValidateUserID(id string) error {
	if id == "" {
		return errors.New("user id is empty")
	}
	if !utf8.ValidString(id) {
		return errors.New("user id is not valid UTF-8")
	}
	n := 0
	for _, r := range id {
		n++
		switch {
		case '!' <= r && r <= '~' && r != ',':
			// most ids have nothing else
		case r == ',':
			return fmt.Errorf("user id %.80q has a comma, which DingTalk cannot take", id)
		case isBlank(r):
			return fmt.Errorf("user id %.80q has a blank", id)
		case isControl(r):
			return fmt.Errorf("user id %.80q has a control character", id)
		}
	}
	if n > MaxUserIDLength {
		return fmt.Errorf("user id %.80q has %d characters, at most %d are possible", id, n, MaxUserIDLength)
	}
	return nil
}

// ValidateJobID accepts [A-Za-z0-9._-]{1,64}.
func ValidateJobID(id string) error {
	if id == "" {
		return errors.New("job id is empty")
	}
	if len(id) > 64 {
		return fmt.Errorf("job id %.80q has %d characters, at most 64 are possible", id, len(id))
	}
	for _, c := range []byte(id) {
		if !isJobIDByte(c) {
			return fmt.Errorf("job id %.80q has a character that is not one of A-Z a-z 0-9 . _ -", id)
		}
	}
	return nil
}
