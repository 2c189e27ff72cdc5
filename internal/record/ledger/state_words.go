package ledger

import "github.com/unrole/unrole/internal/base/texts"

// InWords is a state as people read it.
func InWords(s State) texts.Text {
	if words, known := inWords[s]; known {
		return words
	}
	return texts.T("%s", string(s))
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
