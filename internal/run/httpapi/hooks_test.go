package httpapi

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unrole/unrole/internal/in/adapter"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/record/ledger"
)

const hrMapping = `
hr:
  token: {query: key, secret_file: s}
  challenge: /challenge
  only: {/type: [left]}
  id: /id
  people: /who
  person: {mobile: /mobile, user_id: /user}
  all_roles: true
  keep_roles: [全员, 7]
  unresolved: skip
  source: 某某人事
  reason: 离职
  answer: {ok: true}
noid:
  token: {query: key, secret_file: s}
  person: {mobile: /mobile}
  roles: [财务/出纳]
  source: hr
  reason: left
back:
  token: {query: key, secret_file: s}
  only: {/type: [left]}
  stays: {/type: [back]}
  id: /id
  people: /who
  person: {id: /no, mobile: /mobile, user_id: /user}
  at: {value: /day, format: date}
  all_roles: true
  source: hr
  reason: left
dated:
  token: {query: key, secret_file: s}
  only: {/type: [left]}
  stays: {/type: [back]}
  id: /id
  sent: {value: /sent, format: seconds}
  people: /who
  person: {id: /no, mobile: /mobile, user_id: /user}
  at: {value: /day, format: date}
  all_roles: true
  source: hr
  reason: left
`

// hooked is an intake with two adapters.
func hooked(t *testing.T) *world {
	t.Helper()
	adapters, err := adaptersOf(t, hrMapping)
	if err != nil {
		t.Fatal(err)
	}
	var w *world
	w = memoryWorld(t, func(c *Config) {
		c.Adapters = adapters
		c.Heard = func(name, result string) { w.heard = append(w.heard, name+" "+result) }
	})
	w.token = ""
	return w
}

func adaptersOf(t *testing.T, mapping string) (map[string]*adapter.Adapter, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"s": "0123456789abcdef\n", "map.yaml": mapping} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return adapter.Load(filepath.Join(dir, "map.yaml"))
}

func (w *world) hook(name, body string, headers ...string) answer {
	w.Helper()
	return w.do(http.MethodPost, "/v1/hooks/"+name+"?key=0123456789abcdef", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

const twoLeft = `{"type":"left","id":"e-1","who":[{"mobile":"13812345678"},{"user":"manager4220"}]}`

func TestAMessageOfAnHRSystemIsAJobLikeAnyOther(t *testing.T) {
	w := hooked(t)
	first := w.hook("hr", twoLeft)
	id := strings.TrimPrefix(first.header.Get("Location"), "/v1/removals/")
	if first.status != http.StatusOK || first.body != "{\"ok\":true}\n" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	job, data, err := w.ledger.TakeAsked(t.Context(), id, "")
	if err != nil || job.State != ledger.StateResolving || job.Source != "某某人事" || job.SubmittedBy != "api:hook:hr" {
		t.Fatalf("%+v %v", job, err)
	}
	got, err := asked.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want := &asked.Request{Keep: []lists.Role{{Name: "全员"}, {ID: 7}}, SkipUnresolved: true, Elements: []asked.Element{{AllRoles: true, Users: []asked.Person{
		{Person: lists.Person{By: lists.Mobile, Text: "13812345678"}, Also: []lists.Person{}}, {Person: lists.Person{By: lists.UserID, Text: "manager4220"}, Also: []lists.Person{}}}}}}
	if diff := cmp.Diff(jsonOf(t, want), jsonOf(t, got)); diff != "" {
		t.Errorf("what waits (-want +got):\n%s", diff)
	}
	if again := w.hook("hr", twoLeft); again.status != http.StatusOK || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("the same event again: %d %s", again.status, again.header)
	}
	if other := w.hook("hr", strings.Replace(twoLeft, "manager4220", "manager4221", 1)); other.status != http.StatusConflict {
		t.Errorf("the same event with somebody else: %d %s", other.status, other.body)
	}
	if log := w.log.String(); strings.Contains(log, "13812345678") || strings.Contains(log, "0123456789abcdef") || strings.Contains(log, "manager422") {
		t.Errorf("the log tells too much: %s", log)
	}
}

// Who sends again what was not answered writes another time into it, and what was refused may come again corrected.
func TestAnEventThatIsSentAgainIsTakenByItsMeaning(t *testing.T) {
	w := hooked(t)
	again := func(more string) answer {
		return w.hook("hr", strings.Replace(twoLeft, `{"type"`, more+`"type"`, 1))
	}
	first := again(`{"try":1,`)
	if got := again(`{"try":2,`); first.status != http.StatusOK || got.status != http.StatusOK || got.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("another try: %d %s %s", got.status, got.body, got.header)
	}
	refused := `{"type":"left","id":"e-9","who":[{"user":"boss"}]}`
	if got := w.hook("hr", refused); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("somebody protected: %d %s", got.status, got.body)
	}
	if got := w.hook("hr", strings.Replace(refused, "boss", "manager4220", 1)); got.status != http.StatusOK {
		t.Errorf("the same event, corrected: %d %s", got.status, got.body)
	}
}

func TestWhatAnHRSystemSendsInVainMakesNoJob(t *testing.T) {
	w := hooked(t)
	for body, status := range map[string]int{
		`{"challenge":"abc"}`: http.StatusOK,
		`{"type":"joined","id":"e-2","who":[{"mobile":"138"}]}`: http.StatusOK,
		`{"type":"left","who":[{"mobile":"138"}]}`:              http.StatusUnprocessableEntity,
		`{"type":"left","id":"e-3","who":[{}]}`:                 http.StatusUnprocessableEntity,
		`{"type":"left","id":"e-4","who":[{"user":"boss"}]}`:    http.StatusUnprocessableEntity,
		`{"type":"left","id":"e-5","who":[{"user":"a,b"}]}`:     http.StatusUnprocessableEntity,
		`{"type":`: http.StatusBadRequest,
	} {
		if got := w.hook("hr", body); got.status != status {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	for what, got := range map[string]answer{
		"no token":      w.do(http.MethodPost, "/v1/hooks/hr", twoLeft, "Content-Type", "application/json"),
		"another token": w.do(http.MethodPost, "/v1/hooks/hr?key=0123456789abcdeF", twoLeft, "Content-Type", "application/json"),
	} {
		if got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := w.hook("nobody", twoLeft); got.status != http.StatusNotFound {
		t.Errorf("an adapter that is not there: %d", got.status)
	}
	if got := w.do(http.MethodGet, "/v1/hooks/hr", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got.status)
	}
	if challenge := w.hook("hr", `{"challenge":"a<b"}`); challenge.body != "{\"challenge\":\"a\\u003cb\"}\n" {
		t.Errorf("%s", challenge.body)
	}
	for look, err := range w.ledger.Find(t.Context(), ledger.Filter{}, "") {
		t.Errorf("there is a job: %+v %v", look.Job, err)
	}
	if log := w.log.String(); !strings.Contains(log, `"fields":["/who/0"]`) || strings.Contains(log, "a,b") {
		t.Errorf("the log says what was wrong, and nobody's id: %s", log)
	}
}

func TestBodiesOfHRSystemsAreBoundedAsOthersAre(t *testing.T) {
	adapters, err := adaptersOf(t, hrMapping)
	if err != nil {
		t.Fatal(err)
	}
	w := memoryWorld(t, func(c *Config) { c.Adapters, c.MaxBody, c.MaxUsers, c.Rate = adapters, 4096, 3, 1e6 })
	w.loose = true
	if got := w.hook("hr", `{"type":"`+strings.Repeat("x", 5000)+`"}`); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", got.status)
	}
	who := slices.Repeat([]map[string]string{{"mobile": "138"}}, 4)
	for i := range who {
		who[i] = map[string]string{"mobile": strings.Repeat("1", i+5)}
	}
	body, _ := json.Marshal(map[string]any{"type": "left", "id": "many", "who": who})
	if got := w.hook("hr", string(body)); got.status != http.StatusUnprocessableEntity || !strings.HasSuffix(got.problem(t).Type, "#guard") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.hook("hr", twoLeft, "Content-Type", "text/plain", "Content-Encoding", "br"); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("%d", got.status)
	}
	if got := w.hook("hr", "\ufeff"+twoLeft, "Content-Type", "text/plain;charset=UTF-8"); got.status != http.StatusOK {
		t.Errorf("a system that calls its JSON text: %d %s", got.status, got.body)
	}
}

func TestAMappingThatTheIntakeWouldRefuseIsRefusedAtOnce(t *testing.T) {
	adapters, err := adaptersOf(t, "a:\n  token: {query: key, secret_file: s}\n  person: {mobile: /m}\n  roles: [x]\n  keep_roles: [y]\n  source: ''\n  reason: r\n  priority: soon\n  unresolved: guess\n")
	if err != nil {
		t.Fatal(err)
	}
	err = checkAdapters(adapters)
	for _, want := range []string{":5: a: keep_roles: it goes with all_roles", ":6: a: source: it is empty", ":8: a: priority: ", ":9: a: unresolved: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %q in: %v", want, err)
		}
	}
}
