package main

import (
	"testing"

	"github.com/unrole/unrole/internal/record/webhook"
)

func TestAMessageThatAWorkerTookStopsNoOther(t *testing.T) {
	retry := func(id string) error {
		if id == "taken" {
			return &webhook.NotWaitingError{ID: id}
		}
		return nil
	}
	ids := []string{"one", "taken", "two"}
	if sent, err := retryMessages(retry, ids, true); sent != 2 || err != nil {
		t.Errorf("all: %d, %v", sent, err)
	}
	if sent, err := retryMessages(retry, ids, false); sent != 1 || err == nil {
		t.Errorf("by name: %d, %v", sent, err)
	}
}
