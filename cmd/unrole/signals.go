package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/unrole/unrole/internal/base/texts"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// withSignals returns a context that the first SIGINT, SIGTERM or SIGHUP (a closed terminal) cancels, with errInterrupted as its cause; the second
// one ends the process at once. The returned function gives the signals back.
func withSignals(parent context.Context, say func(texts.Text), exitProcess func(int)) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signal.Notify(signals, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-done:
			return
		}
		say(texts.T("\nstopping: calls in flight are finished; once more stops at once"))
		cancel(errInterrupted)
		select {
		case <-signals:
			say(texts.T("exit %d: %s", int(exitInterrupted), exitInterrupted.meaning()))
			exitProcess(int(exitInterrupted))
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
