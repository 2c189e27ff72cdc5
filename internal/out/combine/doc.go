// Package combine makes one call out of what many waiting tasks want, like the group commit of a database.
//
// A task that waits for a slot of the pacer puts an Offer into the Pool. Whoever gets a slot takes the call that Next
// makes: the best rectangle that serves the most urgent offer. What is there when the slot comes goes; only while a burst
// arrives a slot may be left to it, see Gathers. An offer may take several calls and a call may serve any number of
// offers.
//
// Offers of few users are combined pair by pair, larger ones as the rectangles they are.
package combine
