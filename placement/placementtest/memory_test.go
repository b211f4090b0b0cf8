package placementtest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/placement/placementtest"
)

// memory makes implementations in memory.
var memory = placementtest.Factory{
	New: func(testing.TB) placementtest.Place {
		m := placementtest.NewMemory(5 * time.Second)
		return placementtest.Place{
			Open: func() placementtest.Instance { return placementtest.Instance{Locker: m, Storage: m, Activator: m} }, Host: m.Host,
		}
	},
	Bubble: synctest.Test,
}

func TestMemory(t *testing.T) { placementtest.Run(t, memory) }

// The same holds while one call of five fails.
func TestMemory_CallsFail(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { placementtest.Run(t, placementtest.Failing(memory, seed)) })
	}
}

// A Resolver over an implementation in memory is an Activator by itself.
func TestResolver(t *testing.T) {
	resolving := placementtest.Factory{
		New: func(t testing.TB) placementtest.Place {
			p, hosts := memory.New(t), placementtest.NewHosts()
			return placementtest.Place{
				Open: func() placementtest.Instance {
					i := p.Open()
					return placementtest.Instance{Activator: placementtest.NewResolver(i.Locker, i.Storage, hosts)}
				},
				Host: hosts.Add,
			}
		},
		Bubble: synctest.Test,
	}
	placementtest.Run(t, resolving)
	t.Run("calls fail", func(t *testing.T) { placementtest.Run(t, placementtest.Failing(resolving, 1)) })
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
