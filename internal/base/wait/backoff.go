package wait

import "time"

// Backoff is a wait that doubles with each try in vain, from First to Most.
type Backoff struct{ First, Most time.Duration }

// After is the wait after so many tries in a row.
func (b Backoff) After(tries int) time.Duration {
	doubled := max(tries-1, 0)
	if doubled > 62 || b.First > b.Most>>doubled {
		return b.Most
	}
	return b.First << doubled
}

// Spread is a wait of up to After, by a number in [0, 1): those who failed together do not come back together.
func (b Backoff) Spread(tries int, random float64) time.Duration {
	return time.Duration(random * float64(b.After(tries)))
}
