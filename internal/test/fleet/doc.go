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
// was, and the last word about a pair is what has to hold (words.go). Small histories with nothing else are played in tens of
// milliseconds each; a process takes one core:
//
//	go test ./internal/test/fleet -run LastWords -seeds 20000 -timeout 0
//
// A quarter have jobs that ask for people by their numbers and names, while the directory changes (named.go, company.go).
//
// # Long times
//
//	go test ./internal/test/fleet -long -run "SixWeeks|InTheNight|BusyForADay|MostOfADay|AWeek|MoreThanADay" -timeout 0
//
// # Mutants
//
// A harness that finds nothing may be blind. Each of a list of one-line faults is built in, with nothing of the tree touched,
// and has to be found within 2,000 histories:
//
//	go test ./internal/test/fleet -run Mutant -mutants . -timeout 0 -v
//
// # What was found
//
// Finds get a test where the fault was, if it can be brought about there, and the seeds of the last ones are played in each run
// (TestHistoriesThatFoundSomething). They are not kept as recorded histories: what a history was asked for and what went wrong in
// it are a value (plan), but a fault shows itself in the order of single operations, which the plan does not decide. Played again,
// it would pass most of the time with the fault in place, and a test that may pass with the fault proves nothing.
//
// # How exactly a seed repeats a history
//
// The seed decides what is asked for, which faults come when, the order of what waits at the gate and the jitter of worker
// and pacer. Not decided by it are the choices of Go itself (select among what is ready, the order of a map, which goroutine
// runs first) and asynq's jitter between two looks at a queue. All of those are drawn by Go's runtime, from numbers that the
// kernel seeds for each process: only a patched runtime would repeat them. So a seed plays the same plan each time, and mostly the
// same course, but not to the last operation: of three histories that were played three times each, the first 57 to 209 of some
// 1,450 operations were the same, and what differed first were looks at an empty queue. A find that needs one order of two
// operations came up in one of three plays, and then in none of six. Play a failing one several times (-repeat).
package fleet
