//go:build !race

package pace

// modelSeeds is how many runs of the model a scenario is judged by.
const modelSeeds = 4

// interleavingSteps is how long an interleaving of TestNoInterleavingBreaksThePace may be.
const interleavingSteps = 60
