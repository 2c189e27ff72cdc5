package queue

import (
	"fmt"

	"github.com/rs/zerolog"
)

// Logger is an asynq.Logger: what belongs to asynq's normal life becomes debug, and nothing ends the process.
type Logger struct{ Log zerolog.Logger }

func (l Logger) Debug(args ...any) { l.Log.Trace().Msg(fmt.Sprint(args...)) }
func (l Logger) Info(args ...any)  { l.Log.Debug().Msg(fmt.Sprint(args...)) }
func (l Logger) Warn(args ...any)  { l.Log.Warn().Msg(fmt.Sprint(args...)) }
func (l Logger) Error(args ...any) { l.Log.Error().Msg(fmt.Sprint(args...)) }
func (l Logger) Fatal(args ...any) { l.Log.Error().Msg(fmt.Sprint(args...)) }
