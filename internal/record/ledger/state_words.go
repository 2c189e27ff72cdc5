package ledger

import "github.com/unrole/unrole/internal/base/texts"

// In says the state in words in a language.
func (s State) In(l texts.Lang) string {
	if words, known := inWords[s]; known {
		return words.In(l)
	}
	return string(s)
}

var inWords = map[State]texts.Text{
	StateSubmitting:              texts.T("being submitted"),
	StateResolving:               texts.T("people and roles are being looked up"),
	StateScheduled:               texts.T("scheduled"),
	StateRunning:                 texts.T("running"),
	StateCompleted:               texts.T("completed"),
	StateCompletedWithDeadLetter: texts.T("completed, with dead letters"),
	StateCancelled:               texts.T("cancelled"),
	StateRefused:                 texts.T("refused, nothing removed"),
}
