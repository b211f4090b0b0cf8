package workload

import (
	"fmt"
	"time"
)

const (
	// commonCount is how many identities clients of several processes ask about at a time, and commonFor for how long: a few of them ask
	// for as many operations in it as one identity is to have.
	commonCount = 3
	commonFor   = 8 * time.Second
)

// common is the identities that clients of several processes ask about. Which they are the clock decides, which is that of all histories of
// a run, in nanoseconds since its beginning: so nobody has to be told.
type common struct{ clock func() int64 }

func commonKey(i int, period int64) string { return fmt.Sprintf("common-%d-%d", i+1, period+1) }

func (c common) period() int64 { return c.clock() / int64(commonFor) }

func (c common) take(draw func(n int) int) string { return commonKey(draw(commonCount), c.period()) }

func (c common) keys() []string {
	var list []string
	for p := range c.period() + 1 {
		for i := range commonCount {
			list = append(list, commonKey(i, p))
		}
	}
	return list
}

func (c common) current() []string { return c.keys()[c.period()*commonCount:] }
