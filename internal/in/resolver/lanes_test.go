package resolver_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unrole/unrole/enqueue"
	"github.com/unrole/unrole/internal/base/lease"
	"github.com/unrole/unrole/internal/in/asked"
	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/in/resolver"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/tasks"
)

// alone has the lead for good.
type alone struct{}

func (alone) Held() bool           { return true }
func (alone) Fence() lease.Fence   { return "1" }
func (alone) Replaced(lease.Fence) {}

// An urgent job needs five questions, one after the other, and waits for none of the hundreds that the people of less urgent ones need.
func TestAnUrgentJobIsLookedUpBeforeHundredsOfPeopleOfLessUrgentOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const qps, bulkJobs, peopleOfEach = 20, 8, 75
		ctx, end := context.WithCancel(t.Context())
		newClient := redistest.Virtual(t)
		sim := simulator.New(simulator.Options{QPS: qps + 1, Latency: time.Second})
		sim.AddRole(7, "会计", "财务")
		sim.AddRole(8, "店长", "门店")
		rdb := newClient()
		dingTalk, err := dingtalk.New(dingtalk.Config{BaseURL: "http://dingtalk.invalid", AppKey: simulator.AppKey, AppSecret: simulator.AppSecret, HTTP: &http.Client{Transport: sim.Transport()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(dingTalk.Close)
		paces, err := directory.Shared(qps, func(api string) (*pace.Pacer, error) { return pace.New(rdb, pace.Config{App: api, QPS: qps}) })
		if err != nil {
			t.Fatal(err)
		}
		client, err := enqueue.NewClient(enqueue.Config{Redis: newClient()})
		if err != nil {
			t.Fatal(err)
		}
		l := ledger.New(newClient(), 0)
		asks := &asked.Client{Ledger: l, Secret: []byte("secret")}
		r, err := resolver.New(resolver.Config{Redis: rdb, Ledger: ledger.New(rdb, 0), Client: client, Directory: directory.At(dingTalk, paces), Lead: alone{}})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.Run(ctx)
		}()
		ask := func(id, lane, role string, people ...string) {
			t.Helper()
			if _, err := asks.Ask(ctx, asked.Asking{JobID: id, Source: "hr", Reason: "left", Priority: lane, Request: &asked.Request{Elements: []asked.Element{named(t, []string{role}, people...)}}}); err != nil {
				t.Fatal(err)
			}
		}
		person := func(n int, role int64) string {
			mobile := fmt.Sprintf("138%08d", n)
			sim.AddPerson(simulator.Person{UserID: fmt.Sprint("p", n), Name: "p", Mobile: mobile})
			sim.Grant(fmt.Sprint("p", n), role)
			return "mobile:" + mobile
		}
		lookedUp := func(id string) time.Duration {
			t.Helper()
			began := time.Now()
			for {
				if job, err := l.Get(ctx, id); err != nil {
					t.Fatal(err)
				} else if job.State != ledger.StateResolving {
					return time.Since(began)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		for j := range bulkJobs {
			var people []string
			for p := range peopleOfEach {
				people = append(people, person(1+j*peopleOfEach+p, 7))
			}
			ask(fmt.Sprint("bulk", j), tasks.QueueBulk, "会计", people...)
		}
		time.Sleep(8 * time.Second) // until it is in the midst of them
		ask("default", tasks.QueueDefault, "店长", person(9001, 8))
		ask("urgent", tasks.QueueUrgent, "店长", person(9002, 8))
		if took := lookedUp("urgent"); took > 9*time.Second {
			t.Errorf("an urgent job of one person waited %v", took)
		}
		if took := lookedUp("default"); took > 9*time.Second {
			t.Errorf("and one of the default lane %v longer", took)
		}
		last := fmt.Sprint("bulk", bulkJobs-1)
		if job, err := l.Get(ctx, last); err != nil || job.State != ledger.StateResolving {
			t.Fatalf("the last bulk job did not wait either: %+v %v", job, err)
		}
		lookedUp(last)
		end()
		<-ended
	})
}
