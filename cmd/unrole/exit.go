package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	engine "github.com/unrole/unrole/internal/app"
	"github.com/unrole/unrole/internal/base/texts"
	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/run/config"
)

// exitCode is what the process ends with. docs/exit-codes.md explains each; scripts rely on them.
type exitCode int

const (
	exitDone        exitCode = 0
	exitError       exitCode = 1
	exitUsage       exitCode = 2
	exitDeadLetters exitCode = 3
	exitCredentials exitCode = 4
	exitJobTaken    exitCode = 5
	exitGuard       exitCode = 6
	exitCancelled   exitCode = 7
	exitInterrupted exitCode = 130
)

// String is the meaning of the code in English, which docs/exit-codes.md has.
func (c exitCode) String() string { return c.meaning().String() }

// meaning is the last line on stderr where the code is not 0.
func (c exitCode) meaning() texts.Text {
	switch c {
	case exitDone:
		return texts.T("all done")
	case exitUsage:
		return texts.T("wrong usage or bad input; nothing was sent")
	case exitDeadLetters:
		return texts.T("done, with dead letters")
	case exitCredentials:
		return texts.T("credentials or a permission are missing or refused")
	case exitJobTaken:
		return texts.T("the job id is taken by other content; nothing was sent")
	case exitGuard:
		return texts.T("stopped by the guard; nothing was sent")
	case exitCancelled:
		return texts.T("the job was cancelled")
	case exitInterrupted:
		return texts.T("interrupted")
	default:
		return texts.T("it failed")
	}
}

// exit is an error that ends the process with a code. Err may be nil where everything was already said.
type exit struct {
	code exitCode
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return e.code.String()
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// exitWith makes err end the process with the code.
func exitWith(code exitCode, err error) error { return &exit{code, err} }

func exitf(code exitCode, format string, args ...any) error {
	return &exit{code, fmt.Errorf(format, args...)}
}

// codeOf decides the exit code of a command that returned err while its context was ctx.
func codeOf(ctx context.Context, err error) exitCode {
	var e *exit
	var conf *config.Error
	var fault *engine.Fault
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.Is(context.Cause(ctx), errInterrupted) && errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &conf), errors.As(err, &fault):
		return exitUsage
	default:
		return exitError
	}
}

// say writes the error and then the line that tells what the exit code means. Faults of an input or of the
// environment are lines that begin with their place, as editors and scripts expect; all else begins with the program.
func (a *app) say(err error, code exitCode) {
	var silent *exit
	var conf *config.Error
	var input *lists.Refused
	switch {
	case errors.As(err, &silent) && silent.err == nil, code == exitInterrupted && errors.Is(err, context.Canceled):
	case errors.As(err, &conf), errors.As(err, &input):
		fmt.Fprintln(a.stderr, texts.Say(a.lang, err))
	case errors.Is(err, syscall.EPIPE): // nobody reads on, which nobody needs to be told
		return
	default:
		fmt.Fprintf(a.stderr, "unrole: %s\n", texts.Say(a.lang, err))
	}
	a.note(texts.T("exit %d: %s", int(code), code.meaning()))
}
