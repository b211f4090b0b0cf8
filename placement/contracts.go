package placement

import "context"

// The contracts are what a place where placements are decided offers to whoever starts activations: the adapter of an actor
// framework, or a program that keeps its own. Package placement/placementtest has the suite that an implementation must
// pass, and an implementation in memory; package lookupclient/contract has those of berth. Another store, etcd for example,
// can take their place.
//
// All methods are safe for concurrent use, also by several processes. They end when ctx does, with an error that wraps its
// cause. An error that wraps one of the sentinels of this package, or that says which rule an argument breaks
// (*IdentityError, *MemberError), means that nothing was changed. After any other error of a call that changes something,
// the change may have happened or not.
type (
	// Locker gives out the right to activate an identity: the Lock contract.
	Locker interface {
		// TryAcquire takes the right to activate an identity. It does not wait for whoever has it. No member has to be
		// known for that. The lock is over when it was released, used or not used for a time that the implementation sets,
		// at most SpawnLockStaleMax; whoever died while it had the lock is in nobody's way for longer than that.
		//
		// It fails with ErrNotGranted while another has the lock, and while an activation of the identity is stored.
		TryAcquire(ctx context.Context, id Identity) (SpawnLock, error)
		// Release gives a lock up that was not used. A lock that is over, or never was, is no error, and neither is one that
		// was used: what it stored stays. It is safe to repeat.
		Release(ctx context.Context, lock SpawnLock) error
	}

	// Storage keeps who runs what: the Storage contract. Its members exist by being named: they need not have joined
	// anything, and one that was removed never comes back under its name.
	Storage interface {
		// Load returns the activation that is stored of an identity, when there is one. It is linearizable: what was stored,
		// or removed, before the call is seen by it.
		Load(ctx context.Context, id Identity) (a StoredActivation, ok bool, err error)
		// Wait returns the activation that is stored of an identity, and while there is none waits for whoever has the lock
		// to store one. ok is false when nobody has the lock any more and nothing is stored: the caller may try to acquire it.
		Wait(ctx context.Context, id Identity) (a StoredActivation, ok bool, err error)
		// Store uses the lock up and stores the activation, in one step: of any number of calls for one lock, one does it.
		// The lock may have been acquired by another process.
		//
		// It fails with ErrLockNotFound when the lock is over, was used before, or never was: its ID may be any text. It
		// fails with ErrMemberBarred when the member was removed; the lock can still be used then. After an unknown outcome
		// Load tells; a second Store fails when the first one did it.
		Store(ctx context.Context, lock SpawnLock, a StoredActivation) error
		// Remove removes exactly this activation. When another one of the identity is stored, or none, it does nothing, and
		// that is no error. It is safe to repeat.
		Remove(ctx context.Context, id Identity, a StoredActivation) error
		// RemoveMember removes every activation of a member, and bars the member: nothing is stored for it any more, at
		// least for MemberBarredMin. A member that is unknown is barred alike. It is safe to repeat.
		RemoveMember(ctx context.Context, member MemberID) error
	}

	// Activator has identities activated: the Activation contract. Which member does it is the implementation's choice.
	Activator interface {
		// Ensure has an identity activated on one member that can, or finds the activation that there is, and returns when it
		// acts. It is safe to repeat: nothing is started twice. It fails with ErrNoHost, which says why of those that were
		// asked, when no member activates it.
		Ensure(ctx context.Context, id Identity) (Activated, error)
		// End ends exactly this activation, and returns when it has stopped and nobody can find it any more. When it has
		// ended already, or another one is there, it does nothing, and that is no error. It is safe to repeat.
		End(ctx context.Context, a Activated) error
	}
)
