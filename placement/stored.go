package placement

import "time"

const (
	// RefBytesMax is the length of the longest reference to an activation, in bytes.
	RefBytesMax = 255
	// SpawnLockStaleMax is how long a lock that nobody uses may be in the way. Not longer: a request for the identity waits
	// for it.
	SpawnLockStaleMax = 10 * time.Second
	// MemberBarredMin is how long a member that was removed is kept out at least. Not shorter: whoever stores for it may not
	// have heard of the removal; names are not used again, so longer is harmless.
	MemberBarredMin = 5 * time.Minute
)

// SpawnLock is the right to activate one identity, once.
type SpawnLock struct {
	// ID tells the lock from every other one. It means nothing but that: it can be handed to another process as it is.
	ID string
	// Identity is what may be activated.
	Identity Identity
}

// StoredActivation is an activation as a Storage keeps it.
type StoredActivation struct {
	// Member is where it runs.
	Member MemberID
	// Ref is how it is reached there, a PID for example: 1 to RefBytesMax bytes of UTF-8 without control characters.
	Ref string
}

// Validate reports the first rule that the activation breaks, as a *MemberError; nil when it breaks none.
func (a StoredActivation) Validate() error {
	if err := a.Member.Validate(); err != nil {
		return err
	}
	if rule := textRule("the reference", a.Ref, RefBytesMax); rule != "" {
		return &MemberError{string(a.Member), "ref", rule}
	}
	return nil
}

// Activated is an activation that an Activator ensured.
type Activated struct {
	Identity Identity
	// Member runs it, and Address is where the member is reached.
	Member  MemberID
	Address string
	// Epoch is the fencing token: larger than those of all activations of the identity before.
	Epoch Epoch
}
