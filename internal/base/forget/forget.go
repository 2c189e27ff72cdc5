// Package forget puts names that stand for nobody in the place of people's ids, in lists and in texts.
package forget

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
)

// prefix begins every stand-in. DingTalk's user ids have no colon.
const prefix = "erased:"

// Names are the user ids to be forgotten, with what stands in their place: random, so that nothing leads back.
type Names map[string]string

// New draws stand-ins for user ids.
func New(userIDs []string) Names {
	n := make(Names, len(userIDs))
	for _, id := range userIDs {
		n[id] = prefix + strings.ToLower(rand.Text()[:8])
	}
	return n
}

// IsStandIn reports whether a user id stands for somebody who was forgotten.
func IsStandIn(userID string) bool { return strings.HasPrefix(userID, prefix) }

// Has reports whether one of the list is to be forgotten.
func (n Names) Has(userIDs []string) bool {
	return slices.ContainsFunc(userIDs, func(id string) bool { return n[id] != "" })
}

// List is the list with stand-ins in the place of those that are to be forgotten.
func (n Names) List(userIDs []string) []string {
	list := slices.Clone(userIDs)
	for i, id := range list {
		if instead, known := n[id]; known {
			list[i] = instead
		}
	}
	return list
}

// Text is the text without the ids, wherever one stands for itself: user1 is in "user1 left" and not in "user10 left".
func (n Names) Text(text string) string {
	return n.replaced(text, func(id string) string { return n[id] })
}

// JobID is a job id without the user ids that stand in it, and a job id still.
func (n Names) JobID(jobID string) string {
	return n.replaced(jobID, func(id string) string { return strings.ReplaceAll(n[id], ":", "-") })
}

func (n Names) replaced(text string, by func(id string) string) string {
	for id := range n {
		if !strings.Contains(text, id) {
			continue
		}
		var out strings.Builder
		rest, before := text, byte(0)
		for {
			i := strings.Index(rest, id)
			if i < 0 {
				break
			}
			if i > 0 {
				before = rest[i-1]
			}
			after := byte(0)
			if end := i + len(id); end < len(rest) {
				after = rest[end]
			}
			out.WriteString(rest[:i])
			if continues(before) && continues(id[0]) || continues(after) && continues(id[len(id)-1]) {
				out.WriteString(id)
			} else {
				out.WriteString(by(id))
			}
			before, rest = id[len(id)-1], rest[i+len(id):]
		}
		text = out.String() + rest
	}
	return text
}

// continues reports whether a letter or digit of ASCII goes on with a word. Chinese stands without blanks around an id.
func continues(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// JSON is a JSON text without the ids in the strings that stand under one of the keys, and the same byte for byte but for
// these. What is no JSON is taken as a text.
func (n Names) JSON(text string, keys ...string) string {
	if !json.Valid([]byte(text)) {
		return n.Text(text)
	}
	var out strings.Builder
	key, last := "", ""
	for i := 0; i < len(text); {
		switch text[i] {
		case '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end++
			literal := text[i:end]
			if err := json.Unmarshal([]byte(literal), &last); err != nil {
				return n.Text(text)
			}
			isKey := strings.HasPrefix(strings.TrimLeft(text[end:], " \t\r\n"), ":")
			if isKey {
				key = last
			} else if slices.Contains(keys, key) {
				if without := n.Text(last); without != last {
					quoted, _ := json.Marshal(without) // a string
					literal = string(quoted)
				}
			}
			out.WriteString(literal)
			i = end
		default:
			out.WriteByte(text[i])
			i++
		}
	}
	return out.String()
}

// Quoted lists the ids as they stand in JSON, with their quotes.
func (n Names) Quoted() []string {
	var quoted []string
	for id := range n {
		b, _ := json.Marshal(id) // a string
		quoted = append(quoted, string(b))
	}
	return quoted
}
