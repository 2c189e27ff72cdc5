package main

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/ledger"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/test/redistest"
)

// DingTalk limits the calls that give back apart, so they hold apart; an operator has one command for both.
func TestAnOperatorSeesAndEndsTheHoldOfEitherPace(t *testing.T) {
	for _, giving := range []bool{false, true} {
		_, rdb := redistest.Memory(t)
		c := &config.Config{DingTalk: config.DingTalk{AppKey: "app"}, QPS: 20}
		removing, err := engine.NewPacer(c, parts(rdb, zerolog.Nop()))
		if err != nil {
			t.Fatal(err)
		}
		adding, err := engine.NewAddingPacer(c, parts(rdb, zerolog.Nop()))
		if err != nil {
			t.Fatal(err)
		}
		held, name := removing, "hold  "
		if giving {
			held, name = adding, "hold of restores  "
		}
		if err := held.SetHold(t.Context(), pace.HoldReason{Kind: pace.HoldQuota}); err != nil {
			t.Fatal(err)
		}
		r := newStatusReader(c, parts(rdb, zerolog.Nop()), removing, adding, ledger.New(rdb, 0))
		a, stdout, stderr := testApp("", false, nil)
		if err := a.status(t.Context(), r, statusOptions{}); err != nil || !strings.Contains(stdout.String(), name) {
			t.Errorf("status ended with %v and shows\n%s", err, stdout)
		}
		if err := a.status(t.Context(), r, statusOptions{confirmRefusals: true}); err == nil || !strings.Contains(err.Error(), "another reason") {
			t.Errorf("a confirmation of refusals ends a hold for the quota: %v", err)
		}
		if err := a.status(t.Context(), r, statusOptions{clearHold: true}); err != nil || !strings.Contains(stderr.String(), "hold quota ended") {
			t.Errorf("the hold is not ended: %v, %s", err, stderr)
		}
		if s, err := held.Status(t.Context()); err != nil || s.Hold != nil {
			t.Errorf("it still holds: %+v, %v", s.Hold, err)
		}
	}
}
