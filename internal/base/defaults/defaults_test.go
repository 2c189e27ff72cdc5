package defaults

import (
	"testing"
	"time"
)

func TestZeroIsTheDefaultAndNegativeIsRefusedByName(t *testing.T) {
	users, wait, rate := 0, 3*time.Second, -1.5
	c := Of("room")
	Fill(c, "MaxUsers", &users, 500)
	Fill(c, "Wait", &wait, time.Second)
	if users != 500 || wait != 3*time.Second || c.Err() != nil {
		t.Errorf("%d users, %v, %v; want the default of 500, the 3 s that were given, and no error", users, wait, c.Err())
	}
	Fill(c, "Rate", &rate, 300)
	if err := c.Err(); err == nil || err.Error() != "room: Rate is negative (-1.5): leave it out for 300" {
		t.Errorf("a negative rate gives %v", err)
	}
}
