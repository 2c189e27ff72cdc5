package main

import (
	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/trace"
)

// trace has the spans of a process sent to where the OTEL_ variables say, nowhere without them; stop sends what is left.
func (a *app) trace(with *engine.Parts) (stop func(), err error) {
	if with.Trace, stop, err = trace.FromEnvironment(a.getenv, with.Version, with.Log); err != nil {
		return nil, exitWith(exitUsage, err)
	}
	return stop, nil
}
