package queue

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of asynq's protobuf message of a task.
const (
	fieldPayload  = 2
	fieldID       = 3
	fieldRetry    = 5
	fieldError    = 7
	fieldTimeout  = 8
	fieldDeadline = 9
)

// ours is a task's message with its id, as this worker takes it: a producer's time limits and few retries would end a
// task that only waits, asynq's way being round and round without a word. ok is false for what cannot be read.
func ours(msg []byte) (id string, own []byte, ok bool) {
	for rest := msg; len(rest) > 0; {
		number, typ, n := protowire.ConsumeField(rest)
		if n < 0 {
			return "", nil, false
		}
		_, _, tag := protowire.ConsumeTag(rest)
		switch {
		case number == fieldID && typ == protowire.BytesType:
			text, _ := protowire.ConsumeString(rest[tag:])
			id = text
			own = append(own, rest[:n]...)
		case number == fieldRetry || number == fieldTimeout || number == fieldDeadline:
		default:
			own = append(own, rest[:n]...)
		}
		rest = rest[n:]
	}
	own = protowire.AppendTag(own, fieldRetry, protowire.VarintType)
	own = protowire.AppendVarint(own, MaxRetry)
	own = protowire.AppendTag(own, fieldTimeout, protowire.VarintType)
	own = protowire.AppendVarint(own, uint64(Timeout.Seconds()))
	return id, own, id != ""
}
