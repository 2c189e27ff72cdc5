package simulator

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Credentials that a simulator accepts unless Options name others.
const (
	AppKey    = "simulated-app-key"
	AppSecret = "simulated-app-secret"
)

// Options say how a Simulator behaves. The zero value is a DingTalk without faults and with an empty directory. Every
// share is a probability from 0 to 1; what it hits is decided by Seed and the number of the call, so that the same
// calls in the same order meet the same faults.
type Options struct {
	Seed uint64
	// Now is the clock; nil means time.Now. Waits use the real clock, or that of a testing/synctest bubble.
	Now func() time.Time

	// AppKey and AppSecret are what gettoken accepts; empty means AppKey and AppSecret of this package.
	AppKey    string
	AppSecret string
	// AnyCredentials lets gettoken accept every key and secret that is not empty.
	AnyCredentials bool
	// TokenTTL is how long a token lives, 0 means two hours; asking again extends it.
	TokenTTL time.Duration
	// TokenAnnounced is the validity that gettoken tells; 0 means TokenTTL. A longer one makes tokens expire by surprise.
	TokenAnnounced time.Duration

	// Company is who and what is in the directory at the start.
	Company Company
	// Open takes unknown users and roles for existing ones; else only what the directory holds exists.
	Open bool
	// UserForm and RoleForm, if not nil, say which of them Open takes: what has the form of an id.
	UserForm func(id string) bool
	RoleForm func(id int64) bool
	// These ids are refused whatever the directory says, each kind with its own codes.
	BadUsers        []string
	GoneUsers       []string
	OutOfScopeUsers []string
	BadRoles        []int64
	SystemRoles     []int64
	// UserCodes and RoleCodes have every call with that id refused by any code at all, such as -1 for an id that poisons
	// its batch.
	UserCodes map[string]int
	RoleCodes map[int64]int
	// BadUserShare and BadRoleShare make that share of all ids invalid, decided by Seed and the id.
	BadUserShare float64
	BadRoleShare float64
	// Blames says what a call with both a bad role and a bad user is refused for (unknown of the real one).
	Blames Blames
	// ApplyGood says whether a refused call is applied to its good pairs (unknown of the real one).
	ApplyGood ApplyGood

	// QPS is the limit of calls to one API in a calendar second, above it 90018 is answered; 0 means none.
	QPS int
	// Capacity is how many removals in a calendar second are not answered "system busy"; the zero value means any number.
	Capacity Capacity
	// Busy is the share of calls answered "system busy".
	Busy float64

	// Latency passes between a call and its effect, and up to Jitter more.
	Latency time.Duration
	Jitter  time.Duration
	// DropBefore and DropAfter are the shares of connections dropped before the call takes effect, and after it.
	DropBefore float64
	DropAfter  float64
	// ProxyPages is the share of calls answered by a proxy's 502, 503 or 504 page, half of them after taking effect.
	ProxyPages float64
	// Truncated is the share of answers that are cut, after the call took effect.
	Truncated float64

	// Faults are what nothing succeeds under, each for a time. Fail adds one at run time.
	Faults []Fault

	// Shape says how the gateway's own refusals (token, permission, address, throttle) arrive.
	Shape Shape
	// Quirks has v2/user/get answer as its documented sample does: numbers and booleans as strings, an object for a list
	// of one.
	Quirks bool
	// StringErrCode writes errcode as a string, as some pages of the documentation do.
	StringErrCode bool

	// KeepCalls is how many removals, at least, Calls, Called and Taken look back on; 0 means all, -1 none.
	KeepCalls int
	// Observe is told of each removal when it has been decided and taken effect, in the handler's goroutine; nil means
	// nobody. A test waits in it for the call that it is after.
	Observe func(Call)
}

// Validate returns every fault of the options, or nil.
func (o *Options) Validate() error {
	var errs []error
	for _, share := range []struct {
		name  string
		value float64
	}{
		{"bad-user-share", o.BadUserShare}, {"bad-role-share", o.BadRoleShare}, {"busy", o.Busy},
		{"drop-before", o.DropBefore}, {"drop-after", o.DropAfter}, {"proxy-pages", o.ProxyPages}, {"truncated", o.Truncated},
	} {
		if !(share.value >= 0 && share.value <= 1) {
			errs = append(errs, fmt.Errorf("%s: %v is not a share from 0 to 1", share.name, share.value))
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"token-ttl", o.TokenTTL}, {"token-announced", o.TokenAnnounced}, {"latency", o.Latency}, {"jitter", o.Jitter},
	} {
		if d.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %v is negative", d.name, d.value))
		}
	}
	if o.QPS < 0 {
		errs = append(errs, fmt.Errorf("limit: %d is negative", o.QPS))
	}
	if o.KeepCalls < -1 {
		errs = append(errs, fmt.Errorf("keep-calls: %d is below -1", o.KeepCalls))
	}
	if err := o.Capacity.validate(); err != nil {
		errs = append(errs, fmt.Errorf("capacity: %w", err))
	}
	for _, fault := range o.Faults {
		if err := fault.validate(); err != nil {
			errs = append(errs, fmt.Errorf("fault: %w", err))
		}
	}
	return errors.Join(errs...)
}

// AddFlags binds every option that a command line can give; values already in o are the defaults.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.Uint64Var(&o.Seed, "seed", o.Seed, "repeat the same faults for the same calls")
	fs.StringVar(&o.AppKey, "app-key", o.AppKey, "app key that is accepted (default "+AppKey+")")
	fs.StringVar(&o.AppSecret, "app-secret", o.AppSecret, "app secret that is accepted (default "+AppSecret+")")
	fs.BoolVar(&o.AnyCredentials, "any-credentials", o.AnyCredentials, "accept every app key and secret")
	fs.DurationVar(&o.TokenTTL, "token-ttl", o.TokenTTL, "life of a token (default 2h)")
	fs.DurationVar(&o.TokenAnnounced, "token-announced", o.TokenAnnounced, "life of a token as gettoken tells it (default the real one)")

	fs.BoolVar(&o.Open, "open", o.Open, "take unknown users and roles for existing ones")
	fs.StringSliceVar(&o.BadUsers, "bad-users", o.BadUsers, "users refused as invalid")
	fs.StringSliceVar(&o.GoneUsers, "gone-users", o.GoneUsers, "users refused as gone")
	fs.StringSliceVar(&o.OutOfScopeUsers, "out-of-scope-users", o.OutOfScopeUsers, "users refused as outside the app's contact scope")
	fs.Int64SliceVar(&o.BadRoles, "bad-roles", o.BadRoles, "roles refused as invalid")
	fs.Int64SliceVar(&o.SystemRoles, "system-roles", o.SystemRoles, "roles refused as system roles")
	fs.StringToIntVar(&o.UserCodes, "user-codes", o.UserCodes, "users refused by a code of your choice, such as u1=-1,u2=400002")
	fs.Float64Var(&o.BadUserShare, "bad-user-share", o.BadUserShare, "share of all users refused as invalid, 0 to 1")
	fs.Float64Var(&o.BadRoleShare, "bad-role-share", o.BadRoleShare, "share of all roles refused as invalid, 0 to 1")
	fs.Var(&o.Blames, "blames", "what a call with a bad role and a bad user is refused for: role, user or random")
	fs.Var(&o.ApplyGood, "apply-good", "whether a refused call is applied to its good pairs: never, always or random")

	fs.IntVar(&o.QPS, "limit", o.QPS, "calls to one API per calendar second, 90018 above it (0: no limit)")
	fs.Var(&o.Capacity, "capacity", `removals per calendar second, "system busy" above it: N, or "N,M every 20s"`)
	fs.Float64Var(&o.Busy, "busy", o.Busy, `share of calls answered "system busy", 0 to 1`)

	fs.DurationVar(&o.Latency, "latency", o.Latency, "time that a call takes")
	fs.DurationVar(&o.Jitter, "jitter", o.Jitter, "up to so much time more")
	fs.Float64Var(&o.DropBefore, "drop-before", o.DropBefore, "share of connections dropped before the call takes effect, 0 to 1")
	fs.Float64Var(&o.DropAfter, "drop-after", o.DropAfter, "share of connections dropped after the call took effect, 0 to 1")
	fs.Float64Var(&o.ProxyPages, "proxy-pages", o.ProxyPages, "share of calls answered by a proxy's error page, 0 to 1")
	fs.Float64Var(&o.Truncated, "truncated", o.Truncated, "share of answers cut in the middle, 0 to 1")
	fs.Var((*faultList)(&o.Faults), "fault", "KIND, KIND=FOR or KIND=FOR@AFTER, such as permission=15s@5s; may be repeated. Kinds: "+
		strings.Join(faultNames(), ", "))

	fs.Var(&o.Shape, "shape", "how the gateway's refusals arrive: wrapped, text, plain or mixed")
	fs.BoolVar(&o.Quirks, "quirks", o.Quirks, "answer about a person as the documentation's sample does: strings for numbers, objects for lists")
	fs.BoolVar(&o.StringErrCode, "string-errcode", o.StringErrCode, "write errcode as a string")
	fs.IntVar(&o.KeepCalls, "keep-calls", o.KeepCalls, "how many calls to remember (0: all, -1: none)")
}

// Blames is what a call with both kinds of bad ids is refused for.
type Blames uint8

const (
	BlamesRole Blames = iota
	BlamesUser
	BlamesRandom
)

// ApplyGood is whether a refused call is applied to its good pairs.
type ApplyGood uint8

const (
	ApplyNever ApplyGood = iota
	ApplyAlways
	ApplyRandom
)

// Shape is how the gateway's own refusals arrive.
type Shape uint8

const (
	// ShapeWrapped is errcode 88 with sub_code and sub_msg, and both in errmsg again, as captured in public.
	ShapeWrapped Shape = iota
	// ShapeText is errcode 88 with the code in errmsg only.
	ShapeText
	// ShapePlain is the code as errcode, as the documentation lists it.
	ShapePlain
	// ShapeMixed is each of them at random, and now and then 88 with a sub_code that is a number.
	ShapeMixed
)

var (
	blamesNames = []string{"role", "user", "random"}
	applyNames  = []string{"never", "always", "random"}
	shapeNames  = []string{"wrapped", "text", "plain", "mixed"}
)

func setName[T ~uint8](to *T, names []string, s string) error {
	for i, name := range names {
		if s == name {
			*to = T(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s", s, strings.Join(names, ", "))
}

// String, Set and Type make the choices flags.
func (b *Blames) String() string        { return blamesNames[*b] }
func (b *Blames) Set(s string) error    { return setName(b, blamesNames, s) }
func (b *Blames) Type() string          { return "choice" }
func (a *ApplyGood) String() string     { return applyNames[*a] }
func (a *ApplyGood) Set(s string) error { return setName(a, applyNames, s) }
func (a *ApplyGood) Type() string       { return "choice" }
func (s *Shape) String() string         { return shapeNames[*s] }
func (s *Shape) Set(v string) error     { return setName(s, shapeNames, v) }
func (s *Shape) Type() string           { return "choice" }

// Capacity is a hidden limit of removals per calendar second that goes through its steps, each for Every, again and
// again. No steps means no limit.
type Capacity struct {
	Steps []int
	Every time.Duration
}

// ConstantCapacity is a capacity that does not change.
func ConstantCapacity(perSecond int) Capacity { return Capacity{Steps: []int{perSecond}} }

// At is the capacity at a time after the start; -1 means no limit.
func (c *Capacity) At(since time.Duration) int {
	switch {
	case len(c.Steps) == 0:
		return -1
	case len(c.Steps) == 1 || c.Every <= 0:
		return c.Steps[0]
	}
	return c.Steps[int(max(since, 0)/c.Every)%len(c.Steps)]
}

func (c *Capacity) validate() error {
	for _, n := range c.Steps {
		if n < 0 {
			return fmt.Errorf("%d is negative", n)
		}
	}
	if len(c.Steps) > 1 && c.Every <= 0 {
		return errors.New(`several steps need the time of each, as in "7,15 every 20s"`)
	}
	return nil
}

// String is the capacity as Set reads it; "" for no limit.
func (c *Capacity) String() string {
	if len(c.Steps) == 0 {
		return ""
	}
	var steps []string
	for _, n := range c.Steps {
		steps = append(steps, strconv.Itoa(n))
	}
	s := strings.Join(steps, ",")
	if c.Every > 0 {
		s += " every " + c.Every.String()
	}
	return s
}

// Set reads "7" or "7,15 every 20s".
func (c *Capacity) Set(s string) error {
	steps, every, found := strings.Cut(s, " every ")
	var parsed Capacity
	if found {
		d, err := time.ParseDuration(strings.TrimSpace(every))
		if err != nil || d <= 0 {
			return fmt.Errorf(`%q is not a time such as 20s`, every)
		}
		parsed.Every = d
	}
	for step := range strings.SplitSeq(steps, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(step))
		if err != nil {
			return fmt.Errorf("%q is not a number of calls", step)
		}
		parsed.Steps = append(parsed.Steps, n)
	}
	if err := parsed.validate(); err != nil {
		return err
	}
	*c = parsed
	return nil
}

// Type names the flag's value in help texts.
func (c *Capacity) Type() string { return "capacity" }
