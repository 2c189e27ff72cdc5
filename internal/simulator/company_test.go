package simulator_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unrole/unrole/internal/simulator"
)

// post sends a body as clients of the world do, and returns the answer's fields.
func post(t *testing.T, sim *simulator.Simulator, path, body string, headers ...string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/"+path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(http.MethodGet, "/"+path, nil)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	sim.ServeHTTP(w, r)
	var fields map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
		t.Fatalf("%s: %s", path, w.Body)
	}
	return w.Code, fields
}

func TestBodiesAreFormsOrJSON(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.Grant("u1", 7, 8)
	sim.Grant("u2", 7)
	_, token := post(t, sim, "v1.0/oauth2/accessToken", `{"appKey":"simulated-app-key","appSecret":"simulated-app-secret"}`)
	call := func(path, body string) map[string]any {
		_, fields := post(t, sim, path+"?access_token="+token["accessToken"].(string), body)
		return fields
	}
	if got := call("topapi/role/removerolesforemps", `{"roleIds":"7","userIds":"u1,u2"}`); got["errcode"] != 0.0 || sim.Holds("u1", 7) || sim.Holds("u2", 7) {
		t.Errorf("text in JSON: %v", got)
	}
	if got := call("topapi/role/addrolesforemps", `{"roleIds":[7,8],"userIds":["u2"]}`); got["errcode"] != 0.0 || !sim.Holds("u2", 8) {
		t.Errorf("lists in JSON: %v", got)
	}
	if got := call("topapi/role/simplelist", `{"role_id":8,"size":1,"offset":0}`); got["errcode"] != 0.0 || got["result"].(map[string]any)["hasMore"] != true {
		t.Errorf("numbers in JSON: %v", got)
	}
	if got := call("topapi/v2/user/get", `{"userid":`); got["errcode"] != 400002.0 {
		t.Errorf("half a body: %v", got)
	}
	if got := call("topapi/nothing", `{}`); got["errcode"] != 22.0 {
		t.Errorf("an unknown path: %v", got)
	}
}

func TestTheNewHostSpeaksInStatusAndWords(t *testing.T) {
	sim := simulator.New(simulator.Options{QPS: 2, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	status, refused := post(t, sim, "v1.0/contact/users/search", `{"queryWord":"x","offset":0,"size":1}`, "x-acs-dingtalk-access-token", "wrong")
	if status != 400 || refused["code"] != "InvalidAuthentication" {
		t.Errorf("a wrong token: %d %v", status, refused)
	}
	_, token := post(t, sim, "v1.0/oauth2/accessToken", `{"appKey":"simulated-app-key","appSecret":"simulated-app-secret"}`)
	header := []string{"x-acs-dingtalk-access-token", token["accessToken"].(string)}
	var last map[string]any
	for range 3 {
		status, last = post(t, sim, "v1.0/contact/users/search", `{"queryWord":"x","offset":0,"size":1}`, header...)
	}
	if status != 403 || last["code"] != "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi" {
		t.Errorf("the third call of a second: %d %v", status, last)
	}
}

func TestLeaversAreListedAndPeopleWhoAreLeavingToo(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	lastDay := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	for i := range 3 {
		sim.AddPerson(simulator.Person{UserID: fmt.Sprint("left", i), Name: "离职", Mobile: fmt.Sprint("1390000000", i)})
		sim.Leave(fmt.Sprint("left", i))
	}
	sim.AddPerson(simulator.Person{UserID: "leaving", LastDay: lastDay})
	sim.AddPerson(simulator.Person{UserID: "stays"})
	_, token := post(t, sim, "v1.0/oauth2/accessToken", `{"appKey":"simulated-app-key","appSecret":"simulated-app-secret"}`)
	header := []string{"x-acs-dingtalk-access-token", token["accessToken"].(string)}
	status, page := post(t, sim, "v1.0/contact/empLeaveRecords?startTime=2026-01-01T00:00:00Z&nextToken=0", "", header...)
	if status != 400 {
		t.Errorf("without maxResults: %d %v", status, page)
	}
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	_, page = post(t, sim, "v1.0/contact/empLeaveRecords?startTime="+since+"&nextToken=0&maxResults=2", "", header...)
	if len(page["records"].([]any)) != 2 || page["nextToken"] != "2" {
		t.Errorf("the first page of leavers: %v", page)
	}
	_, all := post(t, sim, "v1.0/hrm/employees/dismissions?nextToken=0&maxResults=50", "", header...)
	if len(all["userIdList"].([]any)) != 3 || all["hasMore"] != false {
		t.Errorf("dismissions: %v", all)
	}
	_, infos := post(t, sim, `v1.0/hrm/employees/dimissionInfos?userIdList=%5B%22leaving%22%2C%22left1%22%2C%22stays%22%5D`, "", header...)
	for i, want := range []float64{1, 2, 3} {
		if got := infos["result"].([]any)[i].(map[string]any)["status"]; got != want {
			t.Errorf("status of the %d. is %v, want %v", i+1, got, want)
		}
	}
	_, staff := post(t, sim, "topapi/smartwork/hrm/employee/queryonjob?access_token="+header[1], `{"status_list":"5","offset":0,"size":50}`)
	if list := staff["result"].(map[string]any)["data_list"].([]any); len(list) != 1 || list[0] != "leaving" {
		t.Errorf("who is leaving: %v", staff)
	}
}

func TestAScopeOfManagementIsKeptWithTheRole(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddDepartment(simulator.Department{ID: 11, Name: "纪检部"})
	sim.Grant("m", 7)
	_, token := post(t, sim, "v1.0/oauth2/accessToken", `{"appKey":"simulated-app-key","appSecret":"simulated-app-secret"}`)
	query := "?access_token=" + token["accessToken"].(string)
	if _, got := post(t, sim, "topapi/role/scope/update"+query, `{"userid":"m","role_id":7,"dept_ids":"11"}`); got["errcode"] != 0.0 {
		t.Fatal(got)
	}
	_, got := post(t, sim, "topapi/role/simplelist"+query, `{"role_id":7,"size":10,"offset":0}`)
	if text := fmt.Sprint(got); !strings.Contains(text, "manageScopes:[map[dept_id:11 name:纪检部]]") {
		t.Errorf("the holders: %v", text)
	}
	if _, got := post(t, sim, "topapi/role/scope/update"+query, `{"userid":"m","role_id":7,"dept_ids":"12"}`); got["errcode"] != 60003.0 {
		t.Errorf("a department that is not there: %v", got)
	}
}

// As node-dingtalk 2.1 and 007gzs/dingtalk-sdk call it.
func TestOlderClientsFindPeopleByGET(t *testing.T) {
	sim := simulator.New(simulator.Options{})
	sim.AddRole(7, "cashier", "desk")
	sim.AddPerson(simulator.Person{UserID: "u", Name: "U", Mobile: "13800001234", JobNumber: "0042", UnionID: "x"})
	sim.Grant("u", 7)
	_, token := post(t, sim, "gettoken?corpid=simulated-app-key&corpsecret=simulated-app-secret", "")
	call := func(query string) map[string]any {
		_, fields := post(t, sim, query+"&access_token="+fmt.Sprint(token["access_token"]), "")
		return fields
	}
	for _, query := range []string{"user/get_by_mobile?mobile=13800001234", "user/getUseridByUnionid?unionid=x"} {
		if got := call(query); got["errcode"] != 0.0 || got["userid"] != "u" {
			t.Errorf("%s: %v", query, got)
		}
	}
	got := call("user/get?userid=u")
	if roles, _ := got["roles"].([]any); got["jobnumber"] != "0042" || len(roles) != 1 || roles[0].(map[string]any)["groupName"] != "desk" {
		t.Errorf("%v", got)
	}
	if got := call("user/get?userid=nobody"); got["errcode"] != 33012.0 {
		t.Errorf("%v", got)
	}
}
