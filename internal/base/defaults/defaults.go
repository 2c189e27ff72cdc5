// Package defaults decides what a field means that is left out, the same for every room: of a Config's number, zero is the default,
// and a negative one is refused in the words of the field.
package defaults

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/unrole/unrole/tasks"
)

// Config collects what is wrong with the numbers of one Config.
type Config struct {
	room string
	errs []error
}

// Of begins with the Config of a room, whose name errors begin with.
func Of(room string) *Config { return &Config{room: room} }

// Fill sets a field that is zero to its default; one that is negative is an error.
func Fill[T interface {
	int | int64 | float64 | time.Duration
}](c *Config, field string, v *T, byDefault T) {
	if *v < 0 {
		c.errs = append(c.errs, fmt.Errorf("%s: %s is negative (%v): leave it out for %v", c.room, field, *v, byDefault))
	}
	*v = cmp.Or(*v, byDefault)
}

// Err names every field that is wrong, nil if there is none.
func (c *Config) Err() error { return errors.Join(c.errs...) }

// Job checks a job id and a lane, and fills them in where they are empty.
func Job(jobID, priority *string) error {
	if *jobID == "" {
		*jobID = tasks.NewJobID(time.Now())
	}
	if err := tasks.ValidateJobID(*jobID); err != nil {
		return err
	}
	if *priority == "" {
		*priority = tasks.QueueDefault
	}
	if !tasks.IsLane(*priority) {
		return fmt.Errorf("priority %q is not one of urgent, default, bulk", *priority)
	}
	return nil
}
