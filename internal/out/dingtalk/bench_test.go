package dingtalk_test

import (
	"fmt"
	"testing"

	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/simtest"
)

// A full batch, 20 roles and 100 users, over the loopback interface from 64 callers at once.
func BenchmarkRemoveRoles(b *testing.B) {
	server := simtest.Start(b, simulator.Options{Open: true, KeepCalls: -1})
	c, err := dingtalk.New(dingtalk.Config{BaseURL: server.URL, AppKey: server.AppKey, AppSecret: server.AppSecret})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	var roles []int64
	var users []string
	for i := range 20 {
		roles = append(roles, 1507113578+int64(i))
	}
	for i := range 100 {
		users = append(users, fmt.Sprintf("manager%04d", i))
	}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.RemoveRoles(b.Context(), roles, users); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(server.Connections()), "connections")
}
