// Package contract gives a berth cluster the form of package placement's contracts, for adapters of actor frameworks.
//
//	activator := contract.NewActivator(client)                       // placement.Activator
//	storage, err := contract.NewStorage(client, contract.Config{})   // placement.Locker and placement.Storage
//
// An [Activator] is the cluster as it is: Ensure is Client.Place, End is Client.Remove, and whoever hosts joins with
// Client.Join. Everything that berth promises holds for it.
//
// A [Storage] is for frameworks that decide themselves and want a store: who acquires names no member, and who stores names
// one that never joined. berth then knows of no member's lease, and cannot promise that an activation has stopped before its
// identity is free. What it promises is one holder of a lock, one store for each lock, and that nothing outlives the process
// that stored it by more than a lease. See DESIGN.md of package lookupclient.
//
// Goroutines: a Storage has one for each activation that was stored through it, until it is removed, lost, or the Storage
// closed; Close waits for them.
package contract
