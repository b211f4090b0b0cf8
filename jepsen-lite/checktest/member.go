package checktest

import (
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// member is a process that hosts carts.
type member struct {
	*world
	name  string
	inc   placement.Incarnation
	alive bool
	holds map[placement.Identity]*holding
}

// holding is one activation.
type holding struct {
	epoch placement.Epoch
	since int64
}

func (w *world) join(name string) {
	r := w.commit(&fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: name + ":1", Kinds: []string{"cart"}, Weight: 100}}, snapshot.RequestID{})
	m := &member{world: w, name: name, inc: r.Incarnation, alive: true, holds: map[placement.Identity]*holding{}}
	for i, old := range w.members {
		if old.name == name {
			w.members[i] = m
			return
		}
	}
	w.members = append(w.members, m)
}

// of is the member behind an incarnation, nil when it is gone.
func (w *world) of(inc placement.Incarnation) *member {
	for _, m := range w.members {
		if m.inc == inc && m.alive {
			return m
		}
	}
	return nil
}

// activate has the member take what it was given, and confirm it.
func (m *member) activate(id placement.Identity, epoch placement.Epoch) {
	if !m.alive {
		return
	}
	r := m.commit(&fsm.Confirm{Identity: id, Incarnation: m.inc, Epoch: epoch}, snapshot.RequestID{})
	if r.Verdict == placement.Done {
		m.holds[id] = &holding{epoch: epoch, since: m.now + 1}
		m.in(m.soon(100*us), func() { m.act(id, epoch) })
	}
}

// act has the activation write to what it guards.
func (m *member) act(id placement.Identity, epoch placement.Epoch) {
	if h := m.holds[id]; m.alive && h != nil && h.epoch == epoch {
		m.record(history.Event{Write: &history.Write{Resource: id.String(), Writer: m.name, Token: uint64(epoch), Accepted: true}})
	}
}

// stop has the member give something up.
func (m *member) stop(id placement.Identity, epoch placement.Epoch) {
	h := m.holds[id]
	if !m.alive || h == nil || h.epoch != epoch {
		return
	}
	m.believed(id, h, history.Released)
	m.in(m.soon(50*us), func() {
		if m.alive {
			m.commit(&fsm.Release{Identity: id, Incarnation: m.inc, Epoch: epoch}, snapshot.RequestID{})
		}
	})
}

// believed writes down what was believed until now.
func (m *member) believed(id placement.Identity, h *holding, why string) {
	delete(m.holds, id)
	m.record(history.Event{Hold: &history.Hold{
		Identity: id.String(), Member: m.name, Incarnation: uint64(m.inc), Epoch: uint64(h.epoch), From: h.since, To: max(h.since, m.now), Ended: why != "", Why: why,
	}})
}

// kill ends a member without a word. Its lease runs out, and then it comes again.
func (w *world) kill(n int) {
	m := w.members[n]
	w.record(history.Event{Fault: &history.Fault{Fault: uint64(n + 1), Kind: "kill", Targets: []string{m.name}}})
	w.record(history.Event{Process: &history.Process{Name: m.name, Kind: "member", What: history.ProcessKill}})
	for i := range w.Identities {
		if h := m.holds[identity(i)]; h != nil {
			m.believed(identity(i), h, "")
		}
	}
	m.alive = false
	w.in(w.soon(5*ms), func() {
		w.commit(&fsm.Expire{Incarnation: m.inc}, snapshot.RequestID{})
		w.join(m.name)
		w.record(history.Event{Fault: &history.Fault{Fault: uint64(n + 1), Kind: "kill", Targets: []string{m.name}, Ends: true}})
	})
}
