package workload

import (
	"slices"
	"testing"
)

// Whoever has the clock asks about the same identities at one time, about others later, and knows all that there were.
func TestCommon_TimeGoesOn_IdentitiesAreOthers(t *testing.T) {
	var now int64
	c := common{func() int64 { return now }}
	var all []string
	for _, now = range []int64{0, int64(commonFor), 3*int64(commonFor) - 1} {
		current := c.current()
		if len(current) != commonCount || slices.ContainsFunc(current, func(key string) bool { return slices.Contains(all, key) }) {
			t.Errorf("at %d there are %v, after %v", now, current, all)
		}
		all = append(all, current...)
		for i := range commonCount {
			if key := c.take(func(int) int { return i }); key != current[i] {
				t.Errorf("at %d number %d is %s, and %s of the current ones", now, i, key, current[i])
			}
		}
		if got := c.keys(); !slices.Equal(got, all) {
			t.Errorf("at %d all are %v, want %v", now, got, all)
		}
	}
}
