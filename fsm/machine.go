package fsm

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// MembersMax is the number of incarnations that may be alive at once.
const MembersMax = 100_000

// Machine is the state machine. It belongs to one goroutine; the views that it publishes belong to all.
type Machine struct {
	// Observed says whether Output.Changes are wanted. It may be set between two entries.
	Observed bool
	// Level is the newest feature level that the machine understands: FeatureLevel, unless a test says otherwise. An
	// entry that raises the cluster's above it is an error.
	Level uint32

	edit    *snapshot.Editor
	entry   entry // reused
	out     *Output
	place   int // of the command at hand within its entry
	cause   Cause
	request snapshot.RequestID // of the command at hand
	spares  [][]Change         // see Reuse
	members int                // alive

	// ahead are commands that are read and not carried out yet, and what some of them speak of; it points into the entry.
	ahead struct {
		commands [commandsAhead]command
		ids      [commandsAhead]placement.Identity
	}

	plans plans
	query placement.Query // reused: what is given to a strategy is given to the heap
}

// New returns a machine whose state is the view's, which stays as it is. It costs one pass over the view.
func New(v *snapshot.View) *Machine {
	m := &Machine{Level: FeatureLevel, edit: snapshot.NewEditor(v), plans: newPlans()}
	m.query.Load, m.query.KindLoad = m.load, m.kindLoad
	for member := range v.Members() {
		if member.State.Alive() {
			m.members++
		}
	}
	return m
}

// Publish returns the state as an immutable view.
func (m *Machine) Publish() *snapshot.View { return m.edit.Publish() }

// Apply carries out one committed log entry. Indexes must grow from call to call; data is not kept. The error is an
// *EntryError; after it the machine must not be used any more and the server must stop.
func (m *Machine) Apply(index, term uint64, data []byte) (*Output, error) {
	fail := func(err error) (*Output, error) { return nil, &EntryError{index, term, err} }
	if at := m.edit.View().Index; index <= at {
		return fail(fmt.Errorf("the state is at index %d already", at))
	}
	if err := decodeEntry(data, &m.entry); err != nil {
		return fail(err)
	}
	m.out = &Output{Index: index, Term: term}
	m.place, m.cause, m.request = 0, NoCause, snapshot.RequestID{}
	m.edit.SetPosition(index, term)
	if err := m.startGeneration(index); err != nil {
		return fail(err)
	}
	var err error
	if m.entry.start != nil {
		err = m.applyStart(m.entry.start)
	} else {
		err = m.applyBatch(term)
	}
	if err != nil {
		return fail(err)
	}
	m.out.Time, m.out.Barrier = m.edit.View().Time, m.edit.View().Barrier
	// More than the batch can have left behind, so that garbage never piles up.
	m.edit.Collect(4 + 2*len(m.entry.commands))
	return m.out, nil
}

// startGeneration begins the next generation of epochs when the indexes of this one run out.
func (m *Machine) startGeneration(index uint64) error {
	c := m.edit.View().Cluster
	if index-c.EpochBase < placement.GenerationIndexes {
		return nil
	}
	if c.Generation == GenerationMax {
		return ErrGenerations
	}
	c.Generation++
	c.EpochBase = index
	m.edit.SetCluster(c)
	return nil
}

// epoch is the epoch that the command at hand makes.
func (m *Machine) epoch() placement.Epoch {
	v := m.edit.View()
	return placement.MakeEpoch(v.Cluster.Generation, v.Index-v.Cluster.EpochBase, m.place)
}

func (m *Machine) applyStart(s *Start) error {
	c := m.edit.View().Cluster
	if c.ID == "" {
		c.ID, c.Seed, c.FeatureLevel = s.ClusterID, s.Seed, firstLevel
	} else if c.ID != s.ClusterID {
		return fmt.Errorf("a tenure of cluster %q starts in the log of cluster %q", s.ClusterID, c.ID)
	}
	m.out.FormerReadLease = c.MaxReadLease
	c.MaxReadLease = max(c.MaxReadLease, s.ReadLease)
	c.MaxMemberTTL = max(c.MaxMemberTTL, s.MemberTTL)
	m.edit.SetCluster(c)
	m.advanceTime(s.Time)
	m.out.Started, m.out.Server = true, s.Server
	return nil
}

func (m *Machine) applyBatch(term uint64) error {
	if m.entry.batch.Term != term { // F1
		m.out.WrongTerm = true
		m.out.Results = make([]Result, len(m.entry.commands))
		for i := range m.out.Results {
			m.out.Results[i] = Result{Verdict: placement.WrongTerm, Index: m.out.Index}
		}
		return nil
	}
	if m.entry.batch.Barrier >= m.out.Index {
		return fmt.Errorf("its barrier %d is not below it", m.entry.batch.Barrier)
	}
	if m.edit.SetBarrier(m.entry.batch.Barrier) { // F2
		m.changed(Change{Type: RemovalsCompleted})
	}
	m.advanceTime(m.entry.batch.Time)
	if n := len(m.entry.commands); n > 0 {
		m.out.Results = make([]Result, 0, n)
	}
	for at := 0; at < len(m.entry.commands); at += commandsAhead {
		if err := m.applyGroup(at, m.entry.commands[at:min(at+commandsAhead, len(m.entry.commands))]); err != nil {
			return err
		}
	}
	return nil
}

// commandsAhead is how many commands are read before the first of them is carried out, so that what they need of the index
// is brought near by for all of them at once.
const commandsAhead = 64

// applyGroup carries out the next commands of the entry, of which the first has the place at.
func (m *Machine) applyGroup(at int, commands [][]byte) error {
	ids := m.ahead.ids[:0]
	for i, b := range commands {
		c, err := decodeCommand(b)
		if err != nil {
			return fmt.Errorf("command %d: %w", at+i, err)
		}
		m.ahead.commands[i] = c
		if id, ok := c.identity(); ok {
			ids = append(ids, id)
		}
	}
	m.edit.Expect(ids)
	for i := range commands {
		m.place = at + i
		r, err := m.applyCommand(&m.ahead.commands[i])
		if err != nil {
			return fmt.Errorf("command %d: %w", m.place, err)
		}
		m.out.Results = append(m.out.Results, r)
	}
	return nil
}

// applyCommand carries out one command, unless its request was carried out before.
func (m *Machine) applyCommand(c *command) (Result, error) {
	m.cause, m.request = Cause(c.op), c.request
	if c.request == (snapshot.RequestID{}) {
		return m.carryOut(c)
	}
	hash := xxh3.HashSeed(c.body, uint64(c.op))
	if old := m.edit.Recall(c.request); old != nil {
		return m.remembered(old, hash), nil
	}
	if c.retrySince != 0 && m.edit.View().ForgottenIndex() >= c.retrySince {
		return Result{Verdict: placement.Forgotten, Index: m.out.Index}, nil
	}
	r, err := m.carryOut(c)
	if err == nil && r.Verdict == placement.Done {
		m.edit.Remember(snapshot.Result{
			Request: c.request, Body: hash, Index: r.Index, Verdict: r.Verdict, Entry: r.Entry, Incarnation: r.Incarnation,
			Session: r.Session, Token: r.Token, Queued: r.Queued,
		})
	}
	return r, err
}

// remembered is the answer to a request that was carried out before.
func (m *Machine) remembered(old *snapshot.Result, hash uint64) Result {
	if old.Body != hash {
		return Result{Verdict: placement.RequestReused, Index: m.out.Index}
	}
	return Result{
		Verdict: old.Verdict, Entry: old.Entry, Owner: m.edit.View().Incarnation(old.Entry.Owner),
		Incarnation: old.Incarnation, Session: old.Session, Token: old.Token, Queued: old.Queued,
		Index: old.Index, Remembered: true,
	}
}

func (m *Machine) carryOut(c *command) (Result, error) {
	r, err := m.dispatch(c)
	if r.Index == 0 {
		r.Index = m.out.Index
	}
	return r, err
}

func (m *Machine) dispatch(c *command) (Result, error) {
	if !m.reached(c.op) {
		return Result{Verdict: placement.LevelNotReached}, nil
	}
	switch c.op {
	case opPlace:
		return m.applyPlace(c.body)
	case opConfirm:
		return m.applyConfirm(c.body)
	case opFail:
		return m.applyFail(c.body)
	case opRelease:
		return m.applyRelease(c.body)
	case opEvict:
		return m.applyEvict(c.body)
	case opJoin:
		return m.applyJoin(c.body)
	case opLeave:
		return m.applyEnd(c.body, placement.MemberLeft)
	case opExpire:
		return m.applyEnd(c.body, placement.MemberExpired)
	case opDrain:
		return m.applyDrain(c.body)
	case opRegisterServer:
		return m.applyRegisterServer(c.body)
	case opRemoveServer:
		return m.applyRemoveServer(c.body)
	case opSetKind:
		return m.applySetKind(c.body)
	case opOpenSession:
		return m.applyOpenSession(c.body)
	case opCloseSession:
		return m.applyEndSession(c.body, placement.LockKept)
	case opExpireSession:
		return m.applyEndSession(c.body, placement.LockExpired)
	case opAcquireLock:
		return m.applyAcquireLock(c.body)
	case opReleaseLock:
		return m.applyReleaseLock(c.body)
	case opBreakLock:
		return m.applyBreakLock(c.body)
	case opEndLockDelay:
		return m.applyEndLockDelay(c.body)
	case opBlock:
		return m.applyBlock(c.body)
	case opUnblock:
		return m.applyUnblock(c.body)
	case opSetFeatureLevel:
		return m.applySetFeatureLevel(c.body)
	case opMove:
		return m.applyMove(c.body)
	}
	return Result{}, fmt.Errorf("command %d: %w", c.op, ErrUnknownCommand)
}

// sparesMax and spareChangesMax bound the memory that is kept for changes to come: so many slices of so many.
const sparesMax, spareChangesMax = 64, 1024

// Reuse takes the changes of an output back, whose receiver is done with them: their memory is used for later ones. What they
// point to stays as it is.
func (m *Machine) Reuse(out *Output) {
	if cap(out.Changes) > 0 && cap(out.Changes) <= spareChangesMax && len(m.spares) < sparesMax {
		clear(out.Changes) // they must not keep what they point to
		m.spares = append(m.spares, out.Changes[:0])
	}
	out.Changes = nil
}

// spareChanges returns an empty slice with room for n changes, or for some of them.
func (m *Machine) spareChanges(n int) []Change {
	if last := len(m.spares) - 1; last >= 0 {
		s := m.spares[last]
		m.spares = m.spares[:last]
		return s
	}
	return make([]Change, 0, max(1, n))
}

func (m *Machine) changed(c Change) {
	if !m.Observed {
		return
	}
	if m.out.Changes == nil {
		m.out.Changes = m.spareChanges(len(m.entry.commands))
	}
	c.Cause, c.Position, c.Request = m.cause, m.place, m.request
	m.out.Changes = append(m.out.Changes, c)
}
