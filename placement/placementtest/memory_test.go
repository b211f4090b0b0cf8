package placementtest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/placement/placementtest"
)

func TestMemory(t *testing.T) {
	placementtest.Run(t, placementtest.Factory{
		New: func(testing.TB) placementtest.Place {
			m := placementtest.NewMemory(5 * time.Second)
			return placementtest.Place{
				Open: func() placementtest.Instance { return placementtest.Instance{Locker: m, Storage: m, Activator: m} }, Host: m.Host,
			}
		},
		Bubble: synctest.Test,
	})
}

func TestNewMemory_StaleOutOfRange_Panics(t *testing.T) {
	for _, stale := range []time.Duration{0, -1, time.Minute} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewMemory(%v) did not panic", stale)
				}
			}()
			placementtest.NewMemory(stale)
		}()
	}
}
