package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"github.com/xuri/excelize/v2"
	"golang.org/x/crypto/bcrypt"

	"github.com/unrole/unrole/enqueue"
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

// do runs a script in the page.
func (b *browser) do(script string) {
	b.Helper()
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true}, nil)
}

// text is what an expression comes to in the page.
func (b *browser) text(expression string) string {
	b.Helper()
	var at struct{ Result struct{ Value any } }
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &at)
	if at.Result.Value == nil {
		return ""
	}
	return fmt.Sprint(at.Result.Value)
}

// becomes waits until an expression is true, asking from outside: a page whose script is switched off cannot wait.
func (b *browser) becomes(expression string) {
	b.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(20 * time.Millisecond) {
		if b.text(expression) == "true" {
			return
		}
	}
	b.Fatalf("%s did not become true; the page says: %s", expression, b.text("document.body.innerText"))
}

// choose puts a file into the page's field for one, as somebody does who drops it there.
func (b *browser) choose(selector, file string) {
	b.Helper()
	var document struct{ Root struct{ NodeID int } }
	b.call("DOM.getDocument", map[string]any{}, &document)
	var found struct{ NodeID int }
	b.call("DOM.querySelector", map[string]any{"nodeId": document.Root.NodeID, "selector": selector}, &found)
	b.call("DOM.setFileInputFiles", map[string]any{"files": []string{file}, "nodeId": found.NodeID}, nil)
}

// quoted is a text as a script writes it.
func quoted(s string) string {
	b, _ := json.Marshal(s) // texts only, which cannot fail
	return string(b)
}

// signIn signs somebody in at a console, whoever was before.
func (b *browser) signIn(url, name string) {
	b.Helper()
	b.call("Network.clearBrowserCookies", map[string]any{}, nil)
	b.open(url + "/signin")
	b.await(`document.querySelector("input[name=password]") !== null`)
	b.fillSignIn(name)
	b.await(`document.querySelector(".me span")?.innerText === ` + quoted(name))
}

func (b *browser) fillSignIn(name string) {
	b.Helper()
	b.do(fmt.Sprintf(`{ const f = document.querySelector("form.signin"); f.elements.name.value = %s; f.elements.password.value = %s; f.submit() }`, quoted(name), quoted("password of "+name)))
}

// send fills in fields of a form of the page, and sends it as a click does.
func (b *browser) send(form string, fields map[string]string) {
	b.Helper()
	script := fmt.Sprintf(`{ const f = document.querySelector(%s); `, quoted(form))
	for name, value := range fields {
		script += fmt.Sprintf("f.elements[%s].value = %s; ", quoted(name), quoted(value))
	}
	b.do(script + "f.requestSubmit() }")
}

// office is a company at work, with a console that a browser looks at.
type office struct {
	*browser
	url    string
	sim    *simtest.Server
	rdb    *redis.Client
	ledger *ledger.Ledger
	client *enqueue.Client
}

const clerk, lead = 1507113578, 1507113579

func openOffice(t *testing.T) *office {
	t.Helper()
	o := &office{browser: openBrowser(t)}
	o.call("Network.enable", map[string]any{}, nil)
	o.call("Network.setExtraHTTPHeaders", map[string]any{"headers": map[string]string{"Accept-Language": "zh-CN"}}, nil)
	o.sim = simtest.Start(t, simulator.Options{Company: simulator.Company{
		Departments: []simulator.Department{{ID: 10, Name: "财务部"}, {ID: 11, Name: "门店"}},
		People: []simulator.Person{
			{UserID: "lilei", Name: "李雷", Mobile: "13800000001", Departments: []int64{10}},
			{UserID: "han", Name: "韩梅梅", Mobile: "13800000002", Departments: []int64{10}},
			{UserID: "wang1", Name: "王芳", Departments: []int64{10}},
			{UserID: "wang2", Name: "王芳", Departments: []int64{11}},
		}}})
	o.sim.AddRole(clerk, "出纳", "财务")
	o.sim.AddRole(lead, "主管", "岗位")
	for _, user := range []string{"lilei", "han", "wang1", "wang2", "right", "later"} {
		o.sim.Grant(user, clerk)
	}
	_, o.rdb = redistest.Memory(t)
	c := enginetest.Config(o.sim)
	e, _ := enginetest.Start(t, c, engine.Parts{Redis: o.rdb})
	o.ledger = e.Ledger
	var err error
	if o.client, err = enqueue.NewClient(enqueue.Config{Redis: o.rdb}); err != nil {
		t.Fatal(err)
	}
	users := ""
	for name, role := range map[string]string{"ann": "operator", "王芳": "approver"} {
		hash, err := bcrypt.GenerateFromPassword([]byte("password of "+name), 10)
		if err != nil {
			t.Fatal(err)
		}
		users += name + ":" + string(hash) + ":" + role + "\n"
	}
	c.UIUsersFile, c.ApproveAbove, c.QPS = filepath.Join(t.TempDir(), "users"), 2, 10_000
	if err := os.WriteFile(c.UIUsersFile, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	a, _, _ := testApp("", false, nil)
	ending, end := context.WithCancel(t.Context())
	pages, err := a.webPages(c, o.rdb, uiOptions{ending: ending.Done()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages)
	t.Cleanup(func() { end(); server.Close() })
	o.url = server.URL
	return o
}

// as is the office for a part of a test.
func (o *office) as(t *testing.T) *office {
	mine, b := *o, *o.browser
	b.TB = t
	mine.browser = &b
	t.Cleanup(func() { o.id = b.id })
	return &mine
}

func (o *office) submit(s enqueue.Submission, users ...string) {
	o.Helper()
	var err error
	if s.Removals, err = enqueue.FromLists(users, []int64{clerk}); err != nil {
		o.Fatal(err)
	}
	if _, err := o.client.Submit(o.Context(), s); err != nil {
		o.Fatal(err)
	}
}

// completes waits for the end of the job whose page is open: the page that follows it is loaded anew then, as one that follows nothing.
func (o *office) completes() {
	o.Helper()
	o.await(`document.readyState === "complete" && document.querySelector("[data-progress]") === null && document.querySelector("[data-live=state]")?.innerText === "已完成"`)
}

// ended waits for the end of a job.
func (o *office) ended(id string) ledger.Job {
	o.Helper()
	job, err := o.ledger.Watch(o.Context(), id, 10*time.Millisecond, func(ledger.Job, error) error { return nil })
	if err != nil {
		o.Fatal(err)
	}
	return job
}

// book writes a workbook, row by row as somebody gives them.
func (o *office) book(name string, rows func(add func(row ...any))) string {
	o.Helper()
	book := excelize.NewFile()
	defer book.Close()
	to, err := book.NewStreamWriter("Sheet1")
	if err != nil {
		o.Fatal(err)
	}
	n := 0
	rows(func(row ...any) {
		n++
		if err := to.SetRow(fmt.Sprint("A", n), row); err != nil {
			o.Fatal(err)
		}
	})
	if err := to.Flush(); err != nil {
		o.Fatal(err)
	}
	file := filepath.Join(o.TempDir(), name)
	if err := book.SaveAs(file); err != nil {
		o.Fatal(err)
	}
	return file
}

// drop gives a list, and waits for what would be done.
func (o *office) drop(file string) {
	o.Helper()
	o.open(o.url + "/removals/new")
	o.await(`document.querySelector("[data-drop]") !== null`)
	o.choose("input[type=file]", file)
	o.do(`document.querySelector("[data-drop]").requestSubmit()`)
	o.becomes(`document.querySelector("[data-once]") !== null || document.querySelector("#doubts") !== null`)
}

// TestInTheBrowserPeopleWorkWithTheConsole goes the ways of those who work with the console, with one company and one browser.
func TestInTheBrowserPeopleWorkWithTheConsole(t *testing.T) {
	company := openOffice(t)
	company.signIn(company.url, "ann")
	var first string // the job of the first part
	for _, part := range []struct {
		name string
		what func(o *office)
	}{
		{"a workbook with Chinese headings becomes a report through two people", func(o *office) {
			o.drop(o.book("离职名单.xlsx", func(add func(...any)) {
				add("姓名", "手机号", "角色")
				add("李雷", "13800000001", "财务/出纳")
				add("韩梅梅", "13800000002", "出纳")
				add("王芳", "", "出纳")
			}))
			o.await(`document.querySelector("#doubts input[value=wang2]") !== null && document.body.innerText.includes("离职名单.xlsx")`)
			o.do(`document.querySelector("#doubts input[value=wang2]").click(); document.querySelector("#doubts").requestSubmit()`)
			o.becomes(`document.querySelector("[data-once]") !== null && document.querySelector("#doubts") === null && document.body.innerText.includes("wang2")`)
			if !o.sim.Holds("lilei", clerk) {
				o.Fatal("a role is gone before anybody confirmed")
			}
			o.send("[data-once]", map[string]string{"why": "离职"})
			o.await(`location.pathname.startsWith("/jobs/") && document.body.innerText.includes("须由另一人批准")`)
			first = strings.TrimPrefix(o.text("location.pathname"), "/jobs/")

			o.signIn(o.url, "王芳")
			o.await(`document.querySelector(".needs a[href='/jobs/` + first + `']") !== null`)
			o.open(o.url + "/jobs/" + first)
			o.await(`document.querySelector("form[action$='/approve']") !== null`)
			o.send("form[action$='/approve']", nil)
			o.completes()
			if o.sim.Holds("lilei", clerk) || o.sim.Holds("han", clerk) || o.sim.Holds("wang2", clerk) || !o.sim.Holds("wang1", clerk) {
				o.Error("not those who were chosen have lost the role")
			}
			o.do(`fetch(document.querySelector("a[href$='.csv']").href).then((r) => r.text()).then((t) => { window.report = t })`)
			o.await(`window.report.includes("lilei,1507113578,removed") && window.report.includes("wang2,1507113578,removed")`)
			o.send("form[action$='/signout']", nil)
			o.await(`location.pathname === "/signin"`)
			o.open(o.url + "/jobs/" + first)
			o.await(`location.pathname === "/signin"`)
			o.signIn(o.url, "ann")
		}},
		{"what was taken is given back", func(o *office) {
			o.open(o.url + "/jobs/" + first)
			o.await(`document.querySelector("a[href$='/restore']") !== null`)
			o.do(`document.querySelector("a[href$='/restore']").click()`)
			o.await(`document.querySelector("[data-once]") !== null`)
			if o.sim.Holds("lilei", clerk) {
				o.Fatal("a role is back before anybody confirmed")
			}
			o.send("[data-once]", map[string]string{"why": "名单有误"})
			o.await(`location.pathname.startsWith("/jobs/") && document.querySelector("form[action$='/approve'], .panel.ask") !== null`)
			o.signIn(o.url, "王芳")
			o.do(`document.querySelector(".needs a[href^='/jobs/']").click()`)
			o.await(`document.querySelector("form[action$='/approve']") !== null`)
			o.send("form[action$='/approve']", nil)
			o.completes()
			if !o.sim.Holds("lilei", clerk) || !o.sim.Holds("wang2", clerk) {
				o.Error("the roles are not back")
			}
			o.signIn(o.url, "ann")
		}},
		{"a refused id is corrected and submitted anew", func(o *office) {
			o.submit(enqueue.Submission{JobID: "typo", Reason: "离职"}, "wrong")
			o.ended("typo")
			o.open(o.url + "/letters")
			o.await(`document.querySelector("form.correct") !== null`)
			o.send("form.correct", map[string]string{"right": "right"})
			o.becomes(`document.querySelector("[data-once]") !== null`)
			o.send("[data-once]", nil)
			o.completes()
			if o.sim.Holds("right", clerk) {
				o.Error("the role is still there")
			}
		}},
		{"a removal is cancelled before its time", func(o *office) {
			o.submit(enqueue.Submission{JobID: "tomorrow", At: time.Now().Add(time.Hour)}, "later")
			o.open(o.url + "/jobs/tomorrow")
			o.await(`document.querySelector("details.cancel summary") !== null`)
			o.do(`document.querySelector("details.cancel summary").click()`)
			o.send("details.cancel form", map[string]string{"why": "误报"})
			o.await(`document.querySelector("[data-live=state]").innerText === "已取消" && document.body.innerText.includes("误报")`)
		}},
		{"a session ends while a form is filled in", func(o *office) {
			o.submit(enqueue.Submission{JobID: "next", At: time.Now().Add(time.Hour)}, "later")
			o.open(o.url + "/jobs/next")
			o.await(`document.querySelector("details.cancel form") !== null`)
			sessions, err := o.rdb.Keys(o.Context(), "unrole:session:*").Result()
			if err != nil || len(sessions) == 0 {
				o.Fatal(sessions, err)
			}
			o.rdb.Del(o.Context(), sessions...)
			o.send("details.cancel form", map[string]string{"why": "填了一半"})
			o.await(`document.querySelector("form.signin") !== null`)
			o.fillSignIn("ann")
			o.await(`location.pathname === "/jobs/next" && document.querySelector("details.cancel[open] input[name=why]").value === "填了一半"`)
			if job, err := o.ledger.Get(o.Context(), "next"); err != nil || job.CancelledAt != nil {
				o.Errorf("somebody without a session cancelled: %+v %v", job, err)
			}
		}},
		{"two tabs and a second click submit once", func(o *office) {
			o.open(o.url + "/removals/new")
			o.await(`document.querySelector("[data-drop]") !== null`)
			o.send("[data-drop]", map[string]string{"text": "user_id,role_id\nlilei,1507113578\n"})
			o.becomes(`document.querySelector("[data-once]") !== null`)
			preview := o.text("location.href")
			before := o.sim.Stats().Removals
			o.do(`window.other = fetch(location.href, {method: "POST", headers: {"content-type": "application/x-www-form-urlencoded"}, body: new URLSearchParams({turn: "1", why: "另一个标签页"})}); document.querySelector("[data-once]").elements.why.value = "离职"; document.querySelector("[data-once]").requestSubmit()`)
			o.completes()
			o.open(preview)
			o.await(`location.pathname.startsWith("/jobs/")`)
			if calls := o.sim.Stats().Removals - before; calls != 1 {
				o.Errorf("%d calls for one pair", calls)
			}
		}},
		{"a workbook of 100,000 rows is looked at", func(o *office) {
			const people, roles = 5000, 20
			file := o.book("大名单.xlsx", func(add func(...any)) {
				add("用户ID", "角色ID")
				for i := range people {
					user := fmt.Sprintf("many%06d", i)
					for r := range roles {
						o.sim.Grant(user, lead+1+int64(r))
						add(user, fmt.Sprint(lead+1+r))
					}
				}
			})
			o.drop(file)
			o.await(`document.body.innerText.includes("100,000") && document.querySelector("input[value=many]") !== null && document.querySelector("#shares") !== null`)
		}},
		{"without script", func(o *office) {
			o.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
			defer o.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": false}, nil)
			o.open(o.url + "/removals/new")
			o.becomes(`document.querySelector("[data-drop]") !== null`)
			o.send("[data-drop]", map[string]string{"text": "手机号,角色\n13800000002,出纳\n"})
			o.becomes(`document.querySelector("[data-once]") !== null`) // the page asks again by itself
			o.send("[data-once]", map[string]string{"why": "离职"})
			o.becomes(`location.pathname.startsWith("/jobs/") && document.body.innerText.includes("已完成")`)
			if o.sim.Holds("han", clerk) {
				o.Error("the role is still there")
			}
		}},
		{"by keyboard alone, from the sign-in to the report", func(o *office) {
			for _, user := range []string{"key1", "key2", "key3"} {
				o.sim.Grant(user, clerk)
			}
			o.call("Network.clearBrowserCookies", map[string]any{}, nil)
			o.open(o.url + "/signin")
			o.await(`document.activeElement?.name === "name"`) // the field to begin with
			o.types("ann")
			o.tabTo(`[name=password]`)
			o.types("password of ann")
			o.press("Enter")
			o.await(`document.querySelector(".me span")?.innerText === "ann"`)
			o.walk()
			o.tabTo(`nav a[href$="/removals/new"]`)
			o.press("Enter")
			o.await(`document.querySelector("[data-drop]") !== null`)
			o.walk()
			o.tabTo("textarea")
			o.types("姓名,用户ID,角色\n,key1,出纳\n,key2,出纳\n,key3,出纳\n王芳,,出纳\n")
			o.tabTo("[data-drop] button")
			o.press("Enter")
			o.becomes(`document.querySelector("#doubts") !== null`)
			o.walk()
			o.tabTo("#doubts input[type=radio]")
			o.press("ArrowUp") // the group begins at what is chosen: to leave them out
			o.tabTo("#doubts button")
			o.press("Enter")
			o.becomes(`document.querySelector("[data-once]") !== null && document.querySelector("#doubts") === null`)
			o.walk()
			o.tabTo("[data-once] [name=why]")
			o.types("离职")
			for o.text(`[...document.querySelectorAll("[data-once] [type=checkbox]:not(:checked)")].length`) != "0" {
				o.tabTo("[data-once] [type=checkbox]:not(:checked)")
				o.press("Space")
			}
			o.tabTo("[data-once] button")
			o.press("Enter")
			o.await(`location.pathname.startsWith("/jobs/") && document.body.innerText.includes("须由另一人批准")`)
			job := o.text("location.pathname")
			o.walk()
			o.tabTo(`form[action$="/signout"] button`)
			o.press("Enter")
			o.await(`document.activeElement?.name === "name"`)
			o.types("王芳")
			o.tabTo("[name=password]")
			o.types("password of 王芳")
			o.press("Enter")
			o.await(`document.querySelector(".needs a") !== null`)
			o.tabTo(".needs a[href='" + job + "']")
			o.press("Enter")
			o.await(`document.querySelector("form[action$='/approve']") !== null`)
			o.walk()
			o.tabTo("form[action$='/approve'] button")
			o.press("Enter")
			o.completes()
			if o.sim.Holds("key1", clerk) || o.sim.Holds("key2", clerk) || o.sim.Holds("key3", clerk) {
				o.Error("a role is still there")
			}
			o.walk()
			o.tabTo(`a[href$=".html"]`)
			o.press("Enter")
			o.await(`location.pathname.endsWith(".html")`)
			o.walk()
			for _, path := range []string{"/?person=key1", job + "/restore", "/letters", "/fleet"} {
				o.open(o.url + path)
				o.await(`document.readyState === "complete" && location.pathname === ` + quoted(strings.Split(path, "?")[0]))
				o.walk()
			}
			o.signIn(o.url, "ann")
		}},
		{"no page is wider than a phone, and axe finds nothing", func(o *office) {
			o.submit(enqueue.Submission{JobID: "refused", Reason: "离职名单 " + strings.Repeat("a-long-word-", 9)}, "wrong2", strings.Repeat("w", 64))
			o.ended("refused")
			o.open(o.url + "/removals/new")
			o.await(`document.querySelector("[data-drop]") !== null`)
			o.send("[data-drop]", map[string]string{"text": "姓名,角色\n王芳,出纳\n李雷,主管\n无此人,出纳\nlilei,1507113578\n"})
			o.becomes(`document.querySelector("#doubts") !== null`)
			o.look("/", "/?person=nobody", "/jobs/refused", "/jobs/"+first, "/jobs/"+first+"/restore", "/jobs/typo/restore?from_removed=1", "/letters", "/fleet", "/removals/new", o.text("location.pathname"), "/nothing")
			o.call("Network.clearBrowserCookies", map[string]any{}, nil)
			o.look("/signin")
		}},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.what(company.as(t)) }) {
			break
		}
	}
}

// look looks at pages on a phone and on a screen, in the light and in the dark: none is wider than it may be and, where UNROLE_AXE
// names a file of axe-core (npm pack axe-core: axe.min.js), that finds nothing. Pictures go to the directory UNROLE_SCREENSHOT.
func (o *office) look(paths ...string) {
	o.Helper()
	axe := ""
	if name := os.Getenv("UNROLE_AXE"); name != "" {
		source, err := os.ReadFile(name)
		if err != nil {
			o.Fatal(err)
		}
		axe = string(source)
	}
	for _, width := range []int{390, 1280} {
		o.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
		for i, path := range paths {
			o.open(o.url + path)
			o.await(`document.readyState === "complete" && location.pathname === ` + quoted(strings.Split(path, "?")[0]))
			if wide := o.text(`document.documentElement.scrollWidth > innerWidth`); wide != "false" {
				o.Errorf("%s is wider than %d pixels", path, width)
			}
			if axe == "" {
				continue
			}
			for _, scheme := range []string{"light", "dark"} {
				o.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
				o.do(axe)
				found := o.text(`axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.html + " " + n.failureSummary).join(" | ")).join("\n"))`)
				if found != "" {
					o.Errorf("%s at %d, %s:\n%s", path, width, scheme, found)
				}
				if dir := os.Getenv("UNROLE_SCREENSHOT"); dir != "" {
					o.screenshot(filepath.Join(dir, fmt.Sprintf("%02d-%d-%s.png", i, width, scheme)))
					if scheme == "dark" {
						continue // paper is white
					}
					var paper struct{ Data []byte }
					o.call("Page.printToPDF", map[string]any{}, &paper)
					if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.pdf", i)), paper.Data, 0o600); err != nil {
						o.Fatal(err)
					}
				}
			}
		}
	}
	o.call("Emulation.clearDeviceMetricsOverride", map[string]any{}, nil)
}
