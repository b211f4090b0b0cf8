// Package placementtest says whether an implementation keeps the contracts of package placement: Locker, Storage and
// Activator. Its cases are what the frameworks that use such a store rely on; those of storages that are named as in
// Proto.Actor's own suite expect what that one does.
//
//	func TestStorage(t *testing.T) {
//		placementtest.Run(t, placementtest.Factory{
//			New: func(t testing.TB) placementtest.Place {
//				s := startStore(t) // empty; t.Cleanup ends it
//				return placementtest.Place{Open: func() placementtest.Instance {
//					c := s.connect(t)
//					return placementtest.Instance{Locker: c, Storage: c}
//				}}
//			},
//			Bubble: synctest.Test, // unless the store is a process of its own
//		})
//	}
//
// Some cases wait until a lock is over, up to a minute; with a Bubble that takes no time.
//
// [Memory] is an implementation in memory: for tests of what uses the contracts, and for one process.
package placementtest
