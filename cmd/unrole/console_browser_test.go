package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
	"github.com/xuri/excelize/v2"
	"golang.org/x/crypto/bcrypt"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
)

// do runs a script in the page.
func (b *browser) do(script string) {
	b.Helper()
	b.call("Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true}, nil)
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
func (b *browser) signIn(url, name, password string) {
	b.Helper()
	b.call("Network.clearBrowserCookies", map[string]any{}, nil)
	b.open(url + "/signin")
	b.await(`document.querySelector("input[name=password]") !== null`)
	b.do(fmt.Sprintf(`{ const f = document.querySelector("form.signin"); f.elements.name.value = %s; f.elements.password.value = %s; f.submit() }`, quoted(name), quoted(password)))
	b.await(`document.querySelector(".me span")?.innerText === ` + quoted(name))
}

// The whole way: somebody drops a workbook with Chinese headings, another person approves, the role is gone, the report is there.
func TestInTheBrowserAWorkbookBecomesAReportThroughTwoPeople(t *testing.T) {
	b := openBrowser(t)
	b.call("Network.enable", map[string]any{}, nil)
	b.call("Network.setExtraHTTPHeaders", map[string]any{"headers": map[string]string{"Accept-Language": "zh-CN"}}, nil)
	sim := simulator.Start(t, simulator.Options{})
	for _, user := range []string{"manager1", "manager2"} {
		sim.Grant(user, 1507113578)
	}
	_, rdb := redistest.Memory(t)
	c := enginetest.Config(sim)
	enginetest.Start(t, c, engine.Parts{Redis: rdb})

	dir := t.TempDir()
	users := ""
	for name, role := range map[string]string{"ann": "operator", "王芳": "approver"} {
		hash, err := bcrypt.GenerateFromPassword([]byte("password of "+name), 10)
		if err != nil {
			t.Fatal(err)
		}
		users += name + ":" + string(hash) + ":" + role + "\n"
	}
	c.UIUsersFile, c.ApproveAbove = filepath.Join(dir, "users"), 1
	if err := os.WriteFile(c.UIUsersFile, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	book := excelize.NewFile()
	defer book.Close()
	for i, row := range [][]any{{"姓名", "用户ID", "角色ID"}, {"李雷", "manager1", "1507113578"}, {"韩梅梅", "manager2", "1507113578"}} {
		if err := book.SetSheetRow("Sheet1", fmt.Sprint("A", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(dir, "离职名单.xlsx")
	if err := book.SaveAs(list); err != nil {
		t.Fatal(err)
	}
	a, _, _ := testApp("", false, nil)
	ending, end := context.WithCancel(t.Context())
	pages, err := a.webPages(c, rdb, uiOptions{ending: ending.Done()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(pages)
	t.Cleanup(func() { end(); server.Close() })

	b.signIn(server.URL, "ann", "password of ann")
	b.open(server.URL + "/removals/new")
	b.await(`document.querySelector("[data-drop]") !== null`)
	b.choose("input[type=file]", list)
	b.do(`document.querySelector("[data-drop]").requestSubmit()`)
	b.await(`document.body.innerText.includes("离职名单.xlsx") && document.body.innerText.includes("manager2")`)
	if !sim.Holds("manager1", 1507113578) {
		t.Fatal("a role is gone before anybody confirmed")
	}
	b.do(`{ const f = document.querySelector("[data-once]"); f.elements.why.value = "离职"; f.requestSubmit() }`)
	b.await(`location.pathname.startsWith("/jobs/") && document.body.innerText.includes("须由另一人批准")`)
	var at struct{ Result struct{ Value string } }
	b.call("Runtime.evaluate", map[string]any{"expression": "location.pathname", "returnByValue": true}, &at)
	job := at.Result.Value

	b.signIn(server.URL, "王芳", "password of 王芳")
	b.await(`document.querySelector(".needs a[href='` + job + `']") !== null`)
	b.open(server.URL + job)
	b.await(`document.querySelector("form[action$='/approve']") !== null`)
	b.do(`document.querySelector("form[action$='/approve']").submit()`)
	b.await(`document.querySelector("[data-live=state]").innerText === "已完成"`) // the page is told, and loads again
	if sim.Holds("manager1", 1507113578) || sim.Holds("manager2", 1507113578) {
		t.Error("somebody still has the role")
	}
	b.do(`fetch(document.querySelector("a[href$='.csv']").href).then((r) => r.text()).then((t) => { window.report = t })`)
	b.await(`window.report.includes("manager1,1507113578,removed") && window.report.includes("manager2,1507113578,removed")`)
	b.do(`document.querySelector("form[action$='/signout']").submit()`)
	b.await(`location.pathname === "/signin"`)
	b.open(server.URL + job)
	b.await(`location.pathname === "/signin"`)
}
