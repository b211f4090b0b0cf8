package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Prediction is what a WhatIf leads to.
type Prediction struct {
	// Before is the view that it began with. After is the view in which all of Ended was placed anew; whoever was
	// chosen has not confirmed there.
	Before, After *snapshot.View
	// Ended are the identities that lost their owner, ascending; with WhatIf.ReplaceAll all that have one.
	Ended []placement.Identity
	// Kinds are those of Ended, ascending.
	Kinds []string
}

// ErrChangeRefused says that the cluster would refuse a change of the members.
var ErrChangeRefused = errors.New("the cluster refuses the change")

// Predict says what a change of the members leads to: which identities lose their owner by it, and who owns them when
// they are placed anew, one after the other, ascending. It carries the change out, on a machine of its own that begins
// with the view, so what decides is the code that decides in the cluster. The view stays as it is.
//
// How sure a prediction is depends on the kind; see Certainty. All of them take it that nothing else changes meanwhile.
//
// Errors are ErrNoState, ErrFeatureLevel, ErrGenerations, ErrPredictionTooLarge, ErrChangeRefused, a *WhatIfError, and those
// of a member's description. It costs a pass over the view and a command for each identity in Ended.
func Predict(v *snapshot.View, w WhatIf) (*Prediction, error) {
	switch {
	case v.Cluster.ID == "" || v.Index == 0:
		return nil, ErrNoState
	case v.Cluster.FeatureLevel > FeatureLevel:
		return nil, fmt.Errorf("%w: it needs feature level %d, this version has %d", ErrFeatureLevel, v.Cluster.FeatureLevel, FeatureLevel)
	}
	change, err := w.commands(v)
	if err != nil {
		return nil, err
	}
	r := rehearsal{machine: New(v), batch: Batch{Term: v.Term, Barrier: v.Barrier, Time: v.Time}, index: v.Index}
	for _, c := range change {
		if err := r.add(c); err != nil {
			return nil, err
		}
	}
	if err := r.commit(); err != nil {
		return nil, err
	}
	p := &Prediction{Before: v}
	if p.Ended, err = r.end(v, w.ReplaceAll); err != nil {
		return nil, err
	}
	slices.SortFunc(p.Ended, placement.Identity.Compare)
	for i, id := range p.Ended {
		if i == 0 || id.Kind != p.Ended[i-1].Kind {
			p.Kinds = append(p.Kinds, id.Kind)
		}
		if err := r.add(&Place{Identity: id, Near: w.Near}); err != nil {
			return nil, err
		}
	}
	if err := r.commit(); err != nil {
		return nil, err
	}
	p.After = r.machine.Publish()
	return p, nil
}

// rehearsal is a log that nobody writes, applied to a machine of its own.
type rehearsal struct {
	machine  *Machine
	batch    Batch
	index    uint64
	commands [][]byte
}

// add puts a command into the next entry, and applies it when it is full.
func (r *rehearsal) add(body Body) error {
	b, err := Encode(Command{Body: body})
	if err != nil {
		return err
	}
	r.commands = append(r.commands, b)
	if len(r.commands) < placement.BatchCommandsMax {
		return nil
	}
	return r.commit()
}

// commit applies the entry that was gathered.
func (r *rehearsal) commit() error {
	r.index++
	out, err := r.machine.Apply(r.index, r.batch.Term, AppendEntry(nil, r.batch, r.commands))
	if err != nil {
		return err
	}
	r.commands = r.commands[:0]
	for _, x := range out.Results {
		switch x.Verdict {
		case placement.Done, placement.NoEligibleMember, placement.Blocked: // a Place may find nobody
		default:
			return fmt.Errorf("%w: %v", ErrChangeRefused, x.Verdict)
		}
	}
	return nil
}

// end finds the identities of a view that have lost their owner by now; with all it has the owners of the others release
// them first. It returns when every removal is complete.
func (r *rehearsal) end(v *snapshot.View, all bool) (ended []placement.Identity, err error) {
	for p := range v.Placements() {
		if p.Owner == nil {
			continue
		}
		alive := r.machine.alive(p.Entry.Owner) != nil
		if alive && !all {
			continue
		}
		if len(ended) == PredictionMax {
			return nil, fmt.Errorf("%w: at most %d are placed anew", ErrPredictionTooLarge, PredictionMax)
		}
		ended = append(ended, p.Identity)
		if !alive {
			continue
		}
		if err := r.add(&Release{Identity: p.Identity, Incarnation: p.Entry.Owner, Epoch: p.Entry.Epoch}); err != nil {
			return nil, err
		}
	}
	if err := r.commit(); err != nil {
		return nil, err
	}
	r.batch.Barrier = r.index
	return ended, r.commit()
}

// lives are the members of a view that are alive, ascending by incarnation.
func lives(v *snapshot.View) []*placement.Member {
	var list []*placement.Member
	for m := range v.Members() {
		if m.State.Alive() {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *placement.Member) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	return list
}

// PredictedMove is an identity that has another owner after a prediction: another member, or another life of it.
type PredictedMove struct {
	Identity placement.Identity
	// From owned it, and To owns it; nil when no member may. They must not be changed.
	From, To *placement.Member
	// Reason says why it is To.
	Reason placement.Reason
}

// Moves yields the identities of Ended whose owner is another one, ascending. Those that came back to the owner that
// they had are left out.
func (p *Prediction) Moves() iter.Seq[PredictedMove] {
	return func(yield func(PredictedMove) bool) {
		for _, id := range p.Ended {
			_, from := p.Before.Lookup(id)
			e, to := p.After.Lookup(id)
			if to != nil && to.Incarnation == from.Incarnation {
				continue
			}
			if !yield(PredictedMove{id, from, to, e.Reason}) {
				return
			}
		}
	}
}

// Certainty says what a prediction of a kind depends on, beside the members.
type Certainty uint8

// The certainties, the surest first.
const (
	// CertainAlways: the owners are the same in whatever order the identities are placed.
	CertainAlways Certainty = iota + 1
	// CertainInOrder: the owners depend on what others own by then, so they are those that are predicted when the
	// identities of all kinds are placed in ascending order. In another order they are others, in about the same numbers.
	CertainInOrder
	// Drawn: the owners depend on draws by the position in the log, which nobody knows beforehand. The prediction is one
	// that may come true as well as any other.
	Drawn
)

// String is the certainty in one word.
func (c Certainty) String() string {
	switch c {
	case CertainAlways:
		return "always"
	case CertainInOrder:
		return "in-order"
	case Drawn:
		return "drawn"
	}
	return "unknown"
}

// Certainty says what the prediction of a kind depends on.
func (p *Prediction) Certainty(kind string) Certainty {
	switch {
	case p.draws(kind):
		return Drawn
	case !p.looksAtLoads(kind):
		return CertainAlways
	case slices.ContainsFunc(p.Kinds, p.draws):
		return Drawn // what its members own by then is drawn
	}
	return CertainInOrder
}

// draws says that the owners of the kind are drawn.
func (p *Prediction) draws(kind string) bool {
	return p.After.KindSettings(kind).Strategy == placement.RandomByIndex{}.Name() && len(p.After.Eligible(nil, kind)) > 1
}

// looksAtLoads says that the owners of the kind depend on what the members own.
func (p *Prediction) looksAtLoads(kind string) bool {
	candidates, settings := p.After.Eligible(nil, kind), p.After.KindSettings(kind)
	return settings.MemberCapacity != 0 || slices.ContainsFunc(candidates, func(m *placement.Member) bool { return m.Capacity != 0 }) ||
		settings.Strategy == placement.LeastLoaded{}.Name() && len(candidates) > 1
}
