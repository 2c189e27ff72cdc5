// Package faults plays random histories of faults against the built command, a real Redis and the DingTalk simulator,
// and checks from outside that every promise held.
//
// By itself, go test plays a few short histories, of what only real processes can show; -long plays one for each kind of
// fault, all at once. Package fleet plays far more, in virtual time. By hand, any number of random ones:
//
//	go test ./internal/test/faults -long
//	go test ./internal/test/faults -run Histories -histories 500 -timeout 0
//	go test ./internal/test/faults -run Histories -histories 1 -seed 17 -v
//
// One test undoes a lay-off of 2,000 people on the wrong list while everything but the simulator is killed in turn:
//
//	go test ./internal/test/faults -run Layoff -layoff -v
//
// A history is made from its seed alone, so a seed repeats the same jobs, faults and moments; what the processes do in
// between is up to them. docs/reliability.md says what is promised and what was measured.
package faults
