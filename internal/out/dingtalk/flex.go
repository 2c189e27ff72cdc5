package dingtalk

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// The documentation's samples have strings for numbers and booleans, and an object for a list of one; captured answers
// have numbers, booleans and lists (A, B). These types read both. What is null or empty is the zero value.

// flexInt reads a number or a numeric string.
type flexInt int64

func (n *flexInt) UnmarshalJSON(raw []byte) error {
	text := readText(raw)
	if text == "" {
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	*n = flexInt(v)
	return err
}

// flexBool reads a boolean or a string that says one.
type flexBool bool

func (b *flexBool) UnmarshalJSON(raw []byte) error {
	text := string(bytes.Trim(raw, `"`))
	if text == "" || text == "null" {
		return nil
	}
	v, err := strconv.ParseBool(text)
	*b = flexBool(v)
	return err
}

// flexList reads a list, or the one entry of it, also where either comes as a JSON text inside a string.
type flexList[T any] []T

func (l *flexList[T]) UnmarshalJSON(raw []byte) error {
	*l = nil
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil || text == "" {
			return err
		}
		if inner := []byte(text); json.Valid(inner) && inner[0] != '"' {
			raw = inner
		}
	}
	switch raw[0] {
	case 'n':
		return nil
	case '[':
		return json.Unmarshal(raw, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	*l = flexList[T]{one}
	return nil
}
