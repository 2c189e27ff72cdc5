//go:build race

package pace

// The model runs in one goroutine and eight times slower under the race detector.
const modelSeeds = 1

// interleavingSteps is how long an interleaving of TestNoInterleavingBreaksThePace may be.
const interleavingSteps = 30
