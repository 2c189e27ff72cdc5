package app_test

import (
	"testing"
	"time"

	"github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/out/dingtalk"
	"github.com/unrole/unrole/internal/simulator"
	"github.com/unrole/unrole/internal/test/enginetest"
	"github.com/unrole/unrole/internal/test/redistest"
	"github.com/unrole/unrole/internal/test/simtest"
)

func TestThePaceOfLookupsIsForgottenAndThatOfRemovalsIsNot(t *testing.T) {
	rdb := redistest.Start(t).Client()
	sim := simtest.Start(t, simulator.Options{})
	conf, with := enginetest.Config(sim), app.Parts{Redis: rdb}
	paces := func() map[string]time.Duration {
		lives := map[string]time.Duration{}
		for _, key := range rdb.Keys(t.Context(), "unrole:{pace:*").Val() {
			lives[key] = rdb.TTL(t.Context(), key).Val()
		}
		return lives
	}

	client, err := dingtalk.New(app.Credentials(conf, with))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	d, err := app.NewDirectory(conf, with, client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Roles(t.Context()); err != nil {
		t.Fatal(err)
	}
	lookups := paces()
	if len(lookups) == 0 {
		t.Fatal("a lookup has no pace")
	}
	for key, life := range lookups {
		if life < 50*time.Minute || life > time.Hour {
			t.Errorf("%s of lookups ends in %v, want an hour", key, life)
		}
	}

	pacer, err := app.NewPacer(conf, with)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pacer.Reserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := paces()
	if len(all) == len(lookups) {
		t.Fatal("a removal has no pace of its own")
	}
	for key, life := range all {
		if _, lookup := lookups[key]; !lookup && life != -1 {
			t.Errorf("%s of removals ends in %v", key, life)
		}
	}
}
