package main

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/unrole/unrole/internal/base/redisconn"
	"github.com/unrole/unrole/internal/run/config"
)

// logger returns the logger of the process, on stderr: readable lines on a terminal, JSON elsewhere, unless the
// configuration says which. It also takes over what the Redis client logs by itself.
func (a *app) logger(c *config.Config) zerolog.Logger {
	zerolog.TimeFieldFormat = time.RFC3339Nano
	level, err := zerolog.ParseLevel(c.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	var log zerolog.Logger
	if c.LogFormat == "console" || c.LogFormat == "" && a.isTerminal(a.stderr) {
		log = zerolog.New(zerolog.ConsoleWriter{
			Out: a.stderr, TimeFormat: time.TimeOnly,
			NoColor: !a.isTerminal(a.stderr) || a.getenv("NO_COLOR") != "",
		})
	} else {
		log = zerolog.New(a.stderr)
	}
	log = log.Level(level).With().Timestamp().Logger()
	redisconn.LogTo(log)
	return log
}
