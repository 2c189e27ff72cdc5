package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/internal/run/fleet"
	"github.com/unrole/unrole/internal/simulator"
)

func TestTheDoctorSaysHowPeopleAreLookedUp(t *testing.T) {
	c, _ := healthy(t, simulator.Options{})
	all := fleet.Lookups{APIs: []fleet.API{{Name: "v2/user/get"}}, Index: &index.Status{ReadAt: time.Now().Add(-time.Minute), People: 20013}}
	c.Lookups = func(context.Context, redis.UniversalClient) (fleet.Lookups, error) { return all, nil }
	found := examine(t, c)
	levels(t, found, map[string]Level{"lookups": OK, "staff numbers": OK})
	if !strings.Contains(found["staff numbers"].Says, "20013 people, read 1m") {
		t.Errorf("%+v", found["staff numbers"])
	}
	all.APIs[0].Pause = &pace.Pause{Until: time.Now().Add(time.Minute), Why: "90018"}
	all.Index = &index.Status{Wanted: true, FailedAt: time.Now(), Why: "dingtalk: 60011 no permission"}
	found = examine(t, c)
	levels(t, found, map[string]Level{"lookups": Warning, "staff numbers": Warning})
	if !strings.Contains(found["staff numbers"].Says, "not read yet; the directory could not be read 0s ago: dingtalk: 60011") || !strings.Contains(found["lookups"].Says, "v2/user/get is throttled (90018)") {
		t.Errorf("%+v\n%+v", found["staff numbers"], found["lookups"])
	}
}
