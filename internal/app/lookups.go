package app

import (
	"context"

	"github.com/unrole/unrole/internal/in/directory"
	"github.com/unrole/unrole/internal/out/pace"
	"github.com/unrole/unrole/internal/record/index"
	"github.com/unrole/unrole/internal/run/config"
	"github.com/unrole/unrole/internal/run/fleet"
)

// lookupPacer is the pace of an API that the directory asks.
func lookupPacer(c *config.Config, with Parts, api string) (*pace.Pacer, error) {
	return newPacer(c, with, "\x00lookup "+api, forgetLookups)
}

// indexed names the index of the configured app.
func indexed(c *config.Config) string { return c.DingTalk.BaseURL + "\x00" + c.DingTalk.AppKey }

// ReadLookups reads how the fleet of the configured app looks things up. It takes the app's key, and no secret.
func ReadLookups(ctx context.Context, c *config.Config, with Parts) (fleet.Lookups, error) {
	var all fleet.Lookups
	for _, api := range directory.APIs {
		pacer, err := lookupPacer(c, with, api)
		if err != nil {
			return all, err
		}
		status, err := pacer.Status(ctx)
		if err != nil {
			return all, err
		}
		if status.Granted > 0 {
			all.APIs = append(all.APIs, fleet.API{Name: api, Status: status})
		}
	}
	if c.DirectoryTTL <= 0 {
		return all, nil
	}
	x, err := index.Look(ctx, with.Redis, indexed(c))
	all.Index = &x
	return all, err
}
