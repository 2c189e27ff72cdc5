package wait

// Lock is a lock for as long as something is waited for, such as an answer. Unlike a sync.Mutex it lets the time of a
// testing/synctest bubble go on while somebody waits for it. NewLock makes one.
type Lock chan struct{}

// NewLock returns a lock that nobody has.
func NewLock() Lock { return make(Lock, 1) }

// Lock waits until nobody has the lock, and takes it.
func (l Lock) Lock() { l <- struct{}{} }

// Unlock gives it back.
func (l Lock) Unlock() { <-l }
