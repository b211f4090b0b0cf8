package placement

// The transitions below take an entry as it is seen (Entry.Seen) and return the entry that follows and the verdict.
// When the verdict is not Done the entry returned is the one given: nothing changes.

// Choice is what a Strategy decided for one identity.
type Choice struct {
	// Owner is the incarnation chosen; zero when no member may host the identity.
	Owner Incarnation
	// Reason says why it was that one.
	Reason Reason
}

// Place gives an absent identity an owner. A Pending or Settled entry stays as it is and the verdict is Already; a
// Tombstone answers Unsettled. choose is called only when an owner is needed. settle says that the kind settles in
// one step, without the owner's confirmation.
func (e Entry) Place(epoch Epoch, settle bool, choose func() Choice) (Entry, Verdict) {
	switch e.Phase {
	case Pending, Settled:
		return e, Already
	case Tombstone:
		return e, Unsettled
	}
	c := choose()
	if c.Owner == 0 {
		return e, NoEligibleMember
	}
	phase := Pending
	if settle {
		phase = Settled
	}
	return Entry{Phase: phase, Owner: c.Owner, Epoch: epoch, Reason: c.Reason}, Done
}

// Confirm settles the Pending entry that owner holds under epoch. Confirming a Settled entry again is Already.
func (e Entry) Confirm(owner Incarnation, epoch Epoch) (Entry, Verdict) {
	if v := e.held(owner, epoch); v != Done {
		return e, v
	}
	if e.Phase == Settled {
		return e, Already
	}
	e.Phase = Settled
	return e, Done
}

// Release ends what owner holds under epoch, at log index at. A Settled entry leaves a Tombstone; a Pending one leaves
// nothing.
func (e Entry) Release(owner Incarnation, epoch Epoch, at uint64) (Entry, Verdict) {
	if v := e.held(owner, epoch); v != Done {
		return e, v
	}
	if e.Phase == Pending {
		return Entry{}, Done
	}
	return Entry{Phase: Tombstone, Removed: at}, Done
}

// Fail ends the attempt that the Pending entry of the given epoch stands for and offers the identity to the next
// candidate under a new epoch. attempts is how many candidates the kind allows; when they are used up, or choose
// finds nobody, the identity is Absent again and the verdict is still Done. choose is given the attempt's number.
func (e Entry) Fail(failed, next Epoch, attempts int, choose func(attempt uint8) Choice) (Entry, Verdict) {
	switch {
	case e.Phase == Tombstone:
		return e, Unsettled
	case e.Phase == Absent:
		return e, NotPlaced
	case e.Epoch != failed:
		return e, EpochMismatch
	case e.Phase == Settled:
		return e, Already
	}
	attempt := e.Attempt + 1
	if int(attempt) >= min(attempts, AttemptsMax) {
		return Entry{}, Done
	}
	c := choose(attempt)
	if c.Owner == 0 {
		return Entry{}, Done
	}
	return Entry{Phase: Pending, Owner: c.Owner, Epoch: next, Attempt: attempt, Reason: c.Reason}, Done
}

// Evict asks the owner of a Settled entry to stop the activation and to release it. It ends a Pending entry at once,
// since nobody was told of it. An epoch other than zero makes it conditional.
func (e Entry) Evict(epoch Epoch) (Entry, Verdict) {
	switch {
	case e.Phase == Tombstone:
		return e, Unsettled
	case e.Phase == Absent:
		return e, NotPlaced
	case epoch != 0 && e.Epoch != epoch:
		return e, EpochMismatch
	case e.Phase == Pending:
		return Entry{}, Done
	case e.Draining:
		return e, Already
	}
	e.Draining = true
	return e, Done
}

// held says Done when owner holds the entry under epoch.
func (e Entry) held(owner Incarnation, epoch Epoch) Verdict {
	switch {
	case e.Phase == Tombstone:
		return Unsettled
	case e.Phase == Absent:
		return NotPlaced
	case e.Epoch != epoch:
		return EpochMismatch
	case e.Owner != owner:
		return NotOwner
	}
	return Done
}
