// Command unrole removes DingTalk roles from employees, in bulk and reliably.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/unrole/unrole/internal/base/texts"
)

func main() {
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, environ: os.Environ, isTerminal: isTerminal, now: time.Now,
	}
	// A reader that goes away, such as head, must not end a removal in the middle.
	signal.Ignore(syscall.SIGPIPE)
	a.lang = texts.OfEnvironment(a.getenv)
	ctx, stop := withSignals(context.Background(), a.note, os.Exit)
	code := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(int(code))
}

// isTerminal reports whether a stream is a terminal that a person looks at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// app is what a command may touch of the world around the process.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string // for names that nobody knows
	isTerminal     func(stream any) bool
	now            func() time.Time

	// output is the value of --output, lang the language of the reader.
	output string
	lang   texts.Lang
}
