//go:build race

package pace

// The model runs in one goroutine and eight times slower under the race detector.
const modelSeeds = 1
