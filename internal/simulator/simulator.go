// Package simulator is a DingTalk to try against: an HTTP server with an employee directory, DingTalk's limits, its
// codes and shapes of refusal, and its faults, each on demand and repeatable by a seed.
//
// It knows nothing of package dingtalk, so that a mistake in the one is not repeated in the other.
package simulator

import (
	"hash/fnv"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/unrole/unrole/internal/base/wait"
)

// The APIs that are simulated, as paths without the leading slash.
const (
	apiToken    = "gettoken"
	apiNewToken = newHost + "oauth2/accessToken"
	apiRemove   = "topapi/role/removerolesforemps"
	apiAdd      = "topapi/role/addrolesforemps"
)

// readers are the calls beside those, most of which only read.
var readers = map[string]func(*Simulator, url.Values) answer{
	"topapi/role/list":                         (*Simulator).listRoles,
	"topapi/role/getrole":                      (*Simulator).getRole,
	"topapi/role/getrolegroup":                 (*Simulator).getRoleGroup,
	"topapi/role/simplelist":                   (*Simulator).listHolders,
	"topapi/role/scope/update":                 (*Simulator).updateScope,
	"topapi/v2/user/get":                       (*Simulator).getUser,
	"topapi/v2/user/getbymobile":               (*Simulator).byMobile,
	"topapi/user/getbyunionid":                 (*Simulator).byUnionID,
	"topapi/user/listid":                       (*Simulator).listUserIDs,
	"topapi/user/listadmin":                    (*Simulator).listAdmins,
	"topapi/v2/user/list":                      (*Simulator).listUsers,
	"topapi/v2/department/listsub":             (*Simulator).listDepartments,
	"topapi/v2/department/get":                 (*Simulator).getDepartment,
	"topapi/v2/department/listsubid":           (*Simulator).listDepartmentIDs,
	"topapi/smartwork/hrm/employee/queryonjob": (*Simulator).onTheJob,
	"auth/scopes":                              (*Simulator).scopes,
	"user/get":                                 (*Simulator).getUserV1,
	"user/get_by_mobile":                       (*Simulator).byMobileV1,
	"user/getUseridByUnionid":                  (*Simulator).byUnionIDV1,
	newHost + "contact/users/search":           (*Simulator).searchPeople,
	newHost + "contact/empLeaveRecords":        (*Simulator).leaveRecords,
	newHost + "hrm/employees/dismissions":      (*Simulator).dismissions,
	newHost + "hrm/employees/dimissionInfos":   (*Simulator).dismissionInfos, // spelled like that (A)
}

// byGet are the calls that are no POST.
var byGet = map[string]bool{"auth/scopes": true, "user/get": true, "user/get_by_mobile": true, "user/getUseridByUnionid": true, newHost + "contact/empLeaveRecords": true,
	newHost + "hrm/employees/dismissions": true, newHost + "hrm/employees/dimissionInfos": true}

// The most roles and users of a call.
const mostRoles, mostRemoved, mostGiven = 20, 100, 20

const (
	mostForm        = 1 << 20 // bytes
	defaultTokenTTL = 2 * time.Hour
)

// Simulator is an http.Handler that behaves like DingTalk. It is safe for concurrent use.
type Simulator struct {
	opt   Options
	now   func() time.Time
	began time.Time

	mu     sync.Mutex
	number uint64 // of the newest call
	users  map[string]*employee
	roles  map[int64]role
	faults []Fault

	departments map[int64]Department
	leavers     []leaver

	// The standing of ids that is not what the directory says.
	userStanding map[string]Standing
	roleStanding map[int64]Standing

	token      string
	tokenEnds  time.Time
	tokens     uint64
	pastTokens map[string]bool // true: expired, false: revoked

	second   int64          // the calendar second that used and taken count
	used     map[string]int // calls by API
	capacity int            // removals that were not busy

	calls      []*Call
	gifts      []*Call
	stats      Stats
	peakSecond int64
	peakCount  int
	tallies    map[pair]tally
	indexed    int
	forgot     bool
}

// New returns a simulator whose time begins now. It panics for options that Validate refuses.
func New(opt Options) *Simulator {
	if err := opt.Validate(); err != nil {
		panic("simulator: " + err.Error())
	}
	if opt.AppKey == "" {
		opt.AppKey = AppKey
	}
	if opt.AppSecret == "" {
		opt.AppSecret = AppSecret
	}
	if opt.TokenTTL == 0 {
		opt.TokenTTL = defaultTokenTTL
	}
	if opt.TokenAnnounced == 0 {
		opt.TokenAnnounced = opt.TokenTTL
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := &Simulator{
		opt:   opt,
		now:   opt.Now,
		began: opt.Now(),
		users: make(map[string]*employee),
		roles: make(map[int64]role),

		departments: make(map[int64]Department),

		faults:     append([]Fault(nil), opt.Faults...),
		pastTokens: make(map[string]bool),
		used:       make(map[string]int),
		stats:      Stats{ByCode: make(map[string]int), TokenCodes: make(map[string]int)},

		userStanding: make(map[string]Standing),
		roleStanding: make(map[int64]Standing),
	}
	s.SetUser(OutOfScope, opt.OutOfScopeUsers...)
	s.SetUser(Gone, opt.GoneUsers...)
	s.SetUser(Invalid, opt.BadUsers...)
	s.SetRole(System, opt.SystemRoles...)
	s.SetRole(Invalid, opt.BadRoles...)
	s.found(opt.Company)
	return s
}

// fate is what becomes of an answer on its way.
type fate uint8

const (
	fateArrives fate = iota
	fateDropped
	fateCut
)

// outcome is all that was decided about a call when it arrived.
type outcome struct {
	status      int
	contentType string
	body        []byte
	fate        fate
	latency     time.Duration
	effect      func() // under s.mu, when the latency is over; may be nil
	call        *Call  // of a removal
	cut         float64
}

// ServeHTTP answers one call. What happens to it is decided when it arrives; it takes effect after the latency.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	formErr := parseBody(r)

	s.mu.Lock()
	o := s.arrive(strings.Trim(r.URL.Path, "/"), r, formErr)
	s.mu.Unlock()

	if o.latency > 0 {
		wait.For(r.Context(), o.latency) // or until the caller has gone; DingTalk goes on all the same
	}
	if o.effect != nil {
		s.mu.Lock()
		o.effect()
		s.mu.Unlock()
	}
	if o.call != nil && s.opt.Observe != nil {
		s.mu.Lock()
		seen := *o.call
		s.mu.Unlock()
		s.opt.Observe(seen)
	}
	send(w, o)
}

func send(w http.ResponseWriter, o *outcome) {
	if o.fate == fateDropped {
		panic(http.ErrAbortHandler)
	}
	body := o.body
	w.Header().Set("Content-Type", o.contentType)
	if o.fate == fateCut {
		body = body[:1+int(o.cut*float64(len(body)-2))]
		if o.cut < 0.5 { // half of them break off, the others end early as if that were all
			w.Header().Set("Content-Length", itoa(len(o.body)))
		}
	}
	w.WriteHeader(o.status)
	_, _ = w.Write(body)
	if o.fate == fateCut && o.cut < 0.5 {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// arrive decides about a call; s.mu is held.
func (s *Simulator) arrive(api string, r *http.Request, formErr error) *outcome {
	s.number++
	s.stats.Calls++
	now := s.now()
	s.tick(now)
	o := &outcome{status: http.StatusOK, contentType: "application/json;charset=utf-8", latency: s.opt.Latency, cut: s.dice("cut")}
	if s.opt.Jitter > 0 {
		o.latency += time.Duration(s.dice("jitter") * float64(s.opt.Jitter))
	}
	var call *Call
	switch api {
	case apiRemove:
		call = newCall(s.number, now, r.Form, mostRemoved)
	case apiAdd:
		call = newCall(s.number, now, r.Form, mostGiven)
	}
	code := s.travel(o, call, api, r, formErr, now)
	switch {
	case call == nil:
	case api == apiAdd:
		call.Code = code
		s.rememberGift(call)
	default:
		call.Code = code
		o.call = call
		s.remember(call)
		s.stats.ByCode[code]++
	}
	if api == apiToken {
		s.stats.TokenCodes[code]++
	}
	return o
}

// travel takes a call through what lies on its way to the API and back, and returns the code for the record.
func (s *Simulator) travel(o *outcome, call *Call, api string, r *http.Request, formErr error, now time.Time) string {
	switch {
	case s.failing(FaultUnreachable, now), s.hits("drop before", s.opt.DropBefore):
		o.fate = fateDropped
		return s.lose(call, CodeDropped)
	case s.failing(FaultOutage, now):
		s.proxyPage(o)
		return s.lose(call, CodeProxyPage)
	case s.failing(FaultIPBan, now):
		s.banPage(o)
		return CodeBan
	}
	proxied := s.hits("proxy page", s.opt.ProxyPages)
	if proxied && s.dice("proxy page before") < 0.5 {
		s.proxyPage(o)
		return s.lose(call, CodeProxyPage)
	}
	a := s.answer(call, api, r, formErr, now)
	o.effect = a.effect
	if onNewHost(api) {
		o.status, o.body = s.encodeNewHost(a)
	} else {
		o.body = s.encode(a)
	}
	switch {
	case proxied:
		s.proxyPage(o)
	case s.hits("drop after", s.opt.DropAfter):
		o.fate = fateDropped
	case s.hits("truncated", s.opt.Truncated):
		o.fate = fateCut
	default:
		return itoa(a.code)
	}
	return s.lose(call, itoa(a.code))
}

func (s *Simulator) lose(call *Call, code string) string {
	if call != nil {
		call.Lost = true
	}
	return code
}

// tick begins a new calendar second; s.mu is held.
func (s *Simulator) tick(now time.Time) {
	if second := now.Unix(); second != s.second {
		s.second, s.capacity = second, 0
		clear(s.used)
	}
}

// dice is a number from 0 to 1, always the same for the same seed, call and purpose; s.mu is held.
func (s *Simulator) dice(purpose string) float64 { return s.chance(purpose, s.number) }

func (s *Simulator) hits(purpose string, share float64) bool {
	return share > 0 && s.dice(purpose) < share
}

// chance is a number from 0 up to 1, always the same for the same seed, purpose and n.
func (s *Simulator) chance(purpose string, n uint64) float64 {
	return float64(s.hash(purpose, n)>>11) / (1 << 53)
}

func (s *Simulator) hash(purpose string, n uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	x := h.Sum64() ^ s.opt.Seed*0x9e3779b97f4a7c15 + n*0xd1342543de82ef95
	for range 2 { // FNV alone leaves neighbours alike
		x ^= x >> 32
		x *= 0xd6e8feb86659fd93
	}
	return x ^ x>>32
}

func newCall(number uint64, now time.Time, form url.Values, mostUsers int) *Call {
	roles, users, _ := ids(form)
	return &Call{Number: number, Arrived: now, Roles: roles, Users: users, Violation: brokenLimit(form, mostRoles, mostUsers) != ""}
}

// perSecond counts a call to the API and reports whether it is within the limit of its calendar second.
func (s *Simulator) perSecond(api string) bool {
	s.used[api]++
	return s.opt.QPS == 0 || s.used[api] <= s.opt.QPS
}

// withinCapacity reports whether the hidden capacity takes one more removal in this calendar second.
func (s *Simulator) withinCapacity(now time.Time) bool {
	most := s.opt.Capacity.At(now.Sub(s.began))
	if most < 0 {
		most = math.MaxInt
	}
	if s.capacity >= most {
		return false
	}
	s.capacity++
	return true
}
