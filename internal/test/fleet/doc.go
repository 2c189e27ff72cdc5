// Package fleet plays random histories of whole fleets in virtual time, faults included, and checks the promises.
//
// The processes of a history are the real code: workers, intake, submitters and an operator, as the commands start them,
// in one testing/synctest bubble. Only Redis (miniredis) and DingTalk (the simulator) are stand-ins. Every command to Redis
// and every call of DingTalk waits at a gate, which a seeded scheduler opens for one at a time: it decides their order, how
// long each takes, and what becomes of it. docs/reliability.md says what is promised, package promises how it is checked.
//
//	go test ./internal/test/fleet -seeds 500                     # the histories of the seeds 1 to 500
//	go test ./internal/test/fleet -run Histories -seeds 1 -seed 17 -v -trace /tmp/17   # one of them again, operation by operation
//	go test ./internal/test/fleet -run Histories -for 10m -seed 5000         # as many as there is time for
//	go test ./internal/test/fleet -run CrashPoint -every 1 -timeout 0        # the reference story, ended at each operation
//
// Half of the histories have a talk in them: removals and restores of overlapping pairs, each submitted when the one before it
// was, and the last word about a pair is what has to hold (words.go).
//
// # Long times
//
//	go test ./internal/test/fleet -long -run "SixWeeks|InTheNight|BusyForADay"
//
// # Mutants
//
// A harness that finds nothing may be blind. Each of a list of one-line faults is built in, with nothing of the tree touched,
// and has to be found within 2,000 histories:
//
//	go test ./internal/test/fleet -run Mutant -mutants . -timeout 0 -v
//
// # How exactly a seed repeats a history
//
// The seed decides what is asked for, which faults come when, the order of what waits at the gate and the jitter of worker
// and pacer. Not decided by it are the choices of Go itself (select among what is ready, the order of a map, which goroutine
// runs first) and asynq's jitter between two looks at a queue. So a seed plays the same plan each time, and mostly the same
// course, but not to the last operation: play a failing one several times (-repeat).
package fleet
