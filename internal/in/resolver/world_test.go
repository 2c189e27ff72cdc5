package resolver_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/protect"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/record/report"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// world is a company, a fleet that works for it, and a client that asks it.
type world struct {
	*testing.T
	sim    *simtest.Server
	rdb    *redis.Client
	config *config.Config
	client *enqueue.Client
	asked  *asked.Client
	ledger *ledger.Ledger
	// deaf refuses every question to the directory, and no removal.
	deaf atomic.Bool
	// listed counts the departments whose members were read.
	listed atomic.Int32
}

// newWorld has a company with two people of one name, an administrator, one who left, and someone who is protected.
func newWorld(t *testing.T) *world {
	_, rdb := redistest.Memory(t)
	sim := simtest.Start(t, simulator.Options{})
	sim.AddDepartment(simulator.Department{ID: 10, Name: "财务部"})
	sim.AddRole(7, "出纳", "财务")
	sim.AddRole(8, "出纳", "门店")
	sim.AddRole(9, "主管", "默认")
	sim.AddRole(11, "会计", "财务")
	sim.AddPerson(simulator.Person{UserID: "wang1", Name: "王芳", Mobile: "13812345678", JobNumber: "00412", Departments: []int64{10}})
	sim.AddPerson(simulator.Person{UserID: "wang2", Name: "王芳", JobNumber: "412", Email: "wang@example.com"})
	sim.AddPerson(simulator.Person{UserID: "li", Name: "李雷", Mobile: "13987654321"})
	sim.AddPerson(simulator.Person{UserID: "admin", Name: "赵", Mobile: "13700000001", Admin: 1})
	sim.AddPerson(simulator.Person{UserID: "boss", Name: "钱", Mobile: "13700000002"})
	sim.AddPerson(simulator.Person{UserID: "left", Name: "孙", Mobile: "13700000003"})
	sim.Grant("wang1", 7, 8, 9, 11)
	sim.Grant("wang2", 7)
	sim.Grant("li", 7, 11)
	sim.Grant("admin", 7)
	sim.Grant("boss", 7)
	sim.Leave("left")
	w := &world{T: t, sim: sim, rdb: rdb, config: enginetest.Config(sim), ledger: ledger.New(rdb, 0)}
	w.config.ProtectedUsers = "boss"
	protected, err := protect.Parse("boss", "")
	if err != nil {
		t.Fatal(err)
	}
	if w.client, err = enqueue.NewClient(enqueue.Config{Redis: rdb, Protected: protected}); err != nil {
		t.Fatal(err)
	}
	w.asked = &asked.Client{Ledger: w.ledger, Protected: protected, Secret: []byte("secret")}
	return w
}

// RoundTrip lets a worker call DingTalk.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/v2/user/list") {
		w.listed.Add(1)
	}
	if w.deaf.Load() && !strings.Contains(r.URL.Path, "removerolesforemps") && !strings.Contains(r.URL.Path, "gettoken") {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
			Body: io.NopCloser(strings.NewReader(`{"errcode":60011,"errmsg":"no permission"}`))}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (w *world) work() (stop func()) {
	w.Helper()
	_, stop = enginetest.Start(w.T, w.config, app.Parts{Redis: w.rdb, Transport: w})
	return stop
}

// named are people by mobile:…, name:… and the like.
func named(t testing.TB, roles []string, people ...string) asked.Element {
	t.Helper()
	e := asked.Element{}
	for _, text := range people {
		p, err := lists.ParsePerson(text, true)
		if err != nil {
			t.Fatal(err)
		}
		if p.By == lists.UserID {
			e.UserIDs = append(e.UserIDs, p.Text)
		} else {
			e.Users = append(e.Users, asked.PersonOf(p))
		}
	}
	for _, role := range roles {
		e.Roles = append(e.Roles, lists.Role{Name: role})
	}
	return e
}

func (w *world) ask(id string, r asked.Request) ledger.Job {
	w.Helper()
	done, err := w.asked.Ask(w.Context(), asked.Asking{JobID: id, Source: "hr", Reason: "left", Request: &r})
	if err != nil {
		w.Fatal(err)
	}
	return done.Job
}

func (w *world) ended(id string) ledger.Job {
	w.Helper()
	return w.until(id, func(j ledger.Job) bool { return j.State.Finished() })
}

func (w *world) until(id string, is func(ledger.Job) bool) ledger.Job {
	w.Helper()
	reached := errors.New("reached")
	job, err := w.ledger.Watch(w.Context(), id, 5*time.Millisecond, func(j ledger.Job, _ error) error {
		if is(j) {
			return reached
		}
		return nil
	})
	if !errors.Is(err, reached) {
		w.Fatalf("job %s is %+v, %v", id, job, err)
	}
	return job
}

// report is what the report says of each pair, and of what was not resolved.
func (w *world) report(id string) string {
	w.Helper()
	var b strings.Builder
	if err := report.JSON(w.Context(), w.ledger, id, &b, report.Options{}); err != nil {
		w.Fatal(err)
	}
	return b.String()
}

// everything is all that Redis has, in one text.
func everything(t testing.TB, rdb *redis.Client) string {
	t.Helper()
	var b strings.Builder
	for _, key := range redistest.Keys(t, rdb) {
		b.WriteString(key + "\n")
		var values []string
		switch rdb.Type(t.Context(), key).Val() {
		case "string":
			values = []string{rdb.Get(t.Context(), key).Val()}
		case "hash":
			for field, v := range rdb.HGetAll(t.Context(), key).Val() {
				values = append(values, field, v)
			}
		case "list":
			values = rdb.LRange(t.Context(), key, 0, -1).Val()
		case "set":
			values = rdb.SMembers(t.Context(), key).Val()
		case "zset":
			values = rdb.ZRange(t.Context(), key, 0, -1).Val()
		case "stream":
			for _, m := range rdb.XRange(t.Context(), key, "-", "+").Val() {
				for _, v := range m.Values {
					values = append(values, v.(string))
				}
			}
		}
		b.WriteString(strings.Join(values, "\n") + "\n")
	}
	return b.String()
}
