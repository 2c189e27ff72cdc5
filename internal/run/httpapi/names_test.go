package httpapi

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/test/redistest"
)

const byNames = `{"job_id":"n","source":"hr","reason":"left","keep_roles":["全员"],"unresolved":"skip","removals":[
 {"user_ids":["u1"],"users":[{"name":"王芳","mobile":"13812345678"},{"job_number":"0042"}],"role_ids":[1507113578],"roles":["财务/出纳"],"all_roles":true}]}`

func TestNamesAreStoredForAWorkerToLookUp(t *testing.T) {
	w := memoryWorld(t, func(c *Config) { c.MaxUsersPerDay = 7 })
	first := w.post(byNames)
	if job := first.job(t); first.status != http.StatusAccepted || job.State != ledger.StateResolving || first.header.Get("Location") != "/v1/removals/n" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	_, data, err := w.ledger.TakeAsked(t.Context(), "n", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := asked.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want := &asked.Request{Keep: []lists.Role{{Name: "全员"}}, SkipUnresolved: true, MaxUsersPerDay: 7, Elements: []asked.Element{{
		UserIDs: []string{"u1"}, AllRoles: true, Roles: []lists.Role{{Name: "财务/出纳"}, {ID: 1507113578}},
		Users: []asked.Person{{Person: lists.Person{By: lists.Mobile, Text: "13812345678"}, Also: []lists.Person{{By: lists.Name, Text: "王芳"}}},
			{Person: lists.Person{By: lists.JobNumber, Text: "0042"}}}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
	if again := w.post(byNames); again.status != http.StatusOK {
		t.Errorf("the same again: %d %s", again.status, again.body)
	}
	if other := w.post(strings.Replace(byNames, "13812345678", "13812345679", 1)); other.status != http.StatusConflict {
		t.Errorf("somebody else under the same id: %d %s", other.status, other.body)
	}
	if log := w.log.String(); strings.Contains(log, "13812345678") || strings.Contains(log, "王芳") {
		t.Errorf("the log has personal data: %s", log)
	}
	if gone := w.do(http.MethodDelete, "/v1/removals/n", ""); gone.status != http.StatusOK || gone.job(t).State != ledger.StateCancelled {
		t.Errorf("cancelled: %d %s", gone.status, gone.body)
	}
	if listed := w.get("/v1/removals?state=resolving,refused,cancelled"); !strings.Contains(listed.body, `"job_id":"n"`) {
		t.Errorf("the list: %s", listed.body)
	}
}

func TestIDsAreLookedUpWhereSomebodyWantsThat(t *testing.T) {
	for body, want := range map[string]map[bool]ledger.State{
		`{"source":"hr","reason":"left","removals":[{"user_ids":["a"],"role_ids":[1]}]}`:                   {false: ledger.StateRunning, true: ledger.StateResolving},
		`{"source":"hr","reason":"left","preflight":true,"removals":[{"user_ids":["a"],"role_ids":[1]}]}`:  {false: ledger.StateResolving, true: ledger.StateResolving},
		`{"source":"hr","reason":"left","preflight":false,"removals":[{"user_ids":["a"],"role_ids":[1]}]}`: {false: ledger.StateRunning, true: ledger.StateRunning},
	} {
		for preflight, state := range want {
			w := memoryWorld(t, func(c *Config) { c.Preflight = preflight })
			if a := w.post(body); a.status != http.StatusAccepted || a.job(t).State != state {
				t.Errorf("%s where preflight is %t: %d %s", body, preflight, a.status, a.body)
			}
		}
	}
}

func TestBadNamesAreNamedByTheirPlace(t *testing.T) {
	w := memoryWorld(t, nil)
	w.loose = true
	for body, want := range map[string][]string{
		`{"source":"a","reason":"b","removals":[{}]}`: {"/removals/0/role_ids", "/removals/0/user_ids"},
		`{"source":"a","reason":"b","removals":[{"users":[{},{"mobile":""},{"nick":"x"},{"name":7}],"roles":["",true]}]}`:                            {"/removals/0/roles/0", "/removals/0/roles/1", "/removals/0/users/0", "/removals/0/users/1/mobile", "/removals/0/users/2/nick", "/removals/0/users/3/name"},
		`{"source":"a","reason":"b","keep_roles":["x"],"unresolved":"guess","removals":[{"user_ids":["u"],"roles":["r"]}]}`:                          {"/keep_roles", "/unresolved"},
		`{"source":"a","reason":"b","preflight":false,"removals":[{"user_ids":["u"],"all_roles":true}]}`:                                             {"/preflight"},
		`{"source":"a","reason":"b","removals":[{"users":[{"user_id":"boss"}],"roles":["r"]},{"user_ids":["u"],"role_ids":[666],"all_roles":true}]}`: {"/removals/0/users/0", "/removals/1/role_ids/0"},
	} {
		a := w.post(body)
		if got := pointers(a.problem(t)); a.status != http.StatusUnprocessableEntity || !slices.Equal(got, want) {
			t.Errorf("%s: %d %v, want %v", body, a.status, got, want)
		}
	}
}

// BenchmarkIntake compares what the intake does with a request of ids and one of names: -benchtime 3s for figures.
func BenchmarkIntake(b *testing.B) {
	for name, body := range map[string]string{
		"ids":   `{"source":"hr","reason":"left","removals":[{"user_ids":["u1"],"role_ids":[1507113578]}]}`,
		"names": `{"source":"hr","reason":"left","removals":[{"users":[{"mobile":"13812345678","name":"王芳"}],"roles":["财务/出纳"]}]}`,
	} {
		b.Run(name, func(b *testing.B) {
			api := benchIntake(b)
			for b.Loop() {
				if status := benchPost(api, body); status != http.StatusAccepted {
					b.Fatal(status)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// benchIntake is an intake before a Redis of its own, which anybody may call as often as they like.
func benchIntake(b *testing.B) *API {
	rdb := redistest.Start(b).Client()
	client, err := enqueue.NewClient(enqueue.Config{Redis: rdb})
	if err != nil {
		b.Fatal(err)
	}
	records := ledger.New(rdb, 0)
	api, err := New(Config{Submitter: client, Asked: &asked.Client{Ledger: records}, Ledger: records, Redis: rdb, Rate: 1e6})
	if err != nil {
		b.Fatal(err)
	}
	return api
}

func benchPost(api *API, body string) int {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/v1/removals", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code
}
