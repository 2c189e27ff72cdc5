// Package forget puts names that stand for nobody in the place of people's ids, in lists and in texts.
package forget

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
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

// Text is the text without the ids, wherever one stands for itself: user1 is in "user1 left", and neither in "user10 left" nor in
// "user1.li left", who may be somebody else. A hash of one goes wherever it is.
func (n Names) Text(text string) string {
	return n.replaced(text, isWhole, func(id string) string { return n[id] })
}

// Doubts reports whether one of the ids is in the text and may as well be a piece of another one, as user1 in "user1.li": Text
// leaves it.
func (n Names) Doubts(text string) bool {
	return n.replaced(text, isPiece, func(string) string { return "" }) != text
}

// JSON is a JSON text without the ids in the strings that stand under one of the keys, and the same byte for byte but for
// these. What is no JSON is taken as a text.
func (n Names) JSON(text string, keys ...string) string {
	return Strings(text, func(key, value string) string {
		if key != "" && !slices.Contains(keys, key) {
			return value
		}
		return n.Value(key, value)
	})
}

// DoubtsJSON reports whether Doubts is true of a string that stands under one of the keys.
func (n Names) DoubtsJSON(text string, keys ...string) (doubts bool) {
	Strings(text, func(key, value string) string {
		doubts = doubts || (key == "" || slices.Contains(keys, key)) && n.DoubtsValue(key, value)
		return value
	})
	return doubts
}

// replaced is the text with something in the place of the ids, and of their hashes, where each stands as it should.
func (n Names) replaced(text string, stands func(before, id, after string) bool, by func(id string) string) string {
	for _, id := range n.longestFirst() {
		text = replaced(text, id, by(id), stands)
		if len(text) >= hashLength {
			text = replaced(text, Hash(id), by(id), stands)
		}
	}
	return text
}

// longestFirst lists the ids, so that one goes before those that are pieces of it.
func (n Names) longestFirst() []string {
	return slices.SortedFunc(maps.Keys(n), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
	})
}

func replaced(text, id, by string, stands func(before, id, after string) bool) string {
	var out strings.Builder
	done := 0
	for at := 0; ; {
		i := strings.Index(text[at:], id)
		if i < 0 {
			return out.String() + text[done:]
		}
		start := at + i
		at = start + len(id)
		if stands(text[:start], id, text[at:]) {
			out.WriteString(text[done:start] + by)
			done = at
		}
	}
}

// isWhole reports whether an id stands in a text for itself: no letter or digit of ASCII is next to it, and none behind signs of
// ids. Chinese stands without blanks around an id.
func isWhole(before, id, after string) bool {
	if isHash(id) {
		return isWord(before, id, after)
	}
	before, after = strings.TrimRight(before, signs), strings.TrimLeft(after, signs)
	return !(endsWord(before) && isOfID(id[0])) && !(beginsWord(after) && isOfID(id[len(id)-1]))
}

// isPiece reports whether an id stands in a text next to signs that may go on with it.
func isPiece(before, id, after string) bool {
	return isWord(before, id, after) && !isWhole(before, id, after)
}

// isWord reports whether no letter or digit of ASCII goes on with an id.
func isWord(before, id, after string) bool {
	return !(endsWord(before) && isLetter(id[0])) && !(beginsWord(after) && isLetter(id[len(id)-1]))
}

// signs are those of ids that stand between words: li.zhang, zhang-2, zhang@a.
const signs = "-_.@"

func endsWord(text string) bool   { return text != "" && isLetter(text[len(text)-1]) }
func beginsWord(text string) bool { return text != "" && isLetter(text[0]) }
func isOfID(b byte) bool          { return isLetter(b) || strings.IndexByte(signs, b) >= 0 }

func isLetter(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// Strings is a JSON text with other strings in the place of its values, by the key that they stand under, and the same byte for
// byte but for these. What is no JSON is one value without a key.
func Strings(text string, instead func(key, value string) string) string {
	if !json.Valid([]byte(text)) {
		return instead("", text)
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
				return instead("", text)
			}
			isKey := strings.HasPrefix(strings.TrimLeft(text[end:], " \t\r\n"), ":")
			if isKey {
				key = last
			} else if other := instead(key, last); other != last {
				quoted, _ := json.Marshal(other) // a string
				literal = string(quoted)
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
