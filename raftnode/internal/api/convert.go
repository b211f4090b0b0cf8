package api

import (
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func placementMessage(id placement.Identity, e placement.Entry, owner *placement.Member) *apiv1.Placement {
	p := &apiv1.Placement{
		Kind: id.Kind, Key: id.Key, Phase: apiv1.Placement_Phase(e.Phase) + apiv1.Placement_ABSENT,
		Epoch: uint64(e.Epoch), Draining: e.Draining, Incarnation: uint64(e.Owner), Attempt: uint32(e.Attempt),
	}
	if owner != nil {
		p.Member, p.Address = string(owner.ID), owner.Address
		p.Reason = e.Reason.String()
	}
	return p
}

// memberStates gives the API's number of each state.
var memberStates = map[placement.MemberState]apiv1.Member_State{
	placement.MemberLive: apiv1.Member_LIVE, placement.MemberDraining: apiv1.Member_DRAINING, placement.MemberLeft: apiv1.Member_LEFT,
	placement.MemberExpired: apiv1.Member_EXPIRED, placement.MemberBlocked: apiv1.Member_BLOCKED, placement.MemberSuperseded: apiv1.Member_SUPERSEDED,
	placement.MemberBarred: apiv1.Member_BLOCKED,
}

func memberMessage(m *placement.Member, load snapshot.Load) *apiv1.Member {
	out := &apiv1.Member{
		Name: string(m.ID), Incarnation: uint64(m.Incarnation), Address: m.Address, Kinds: m.Kinds, Weight: m.Weight,
		Capacity: m.Capacity, State: memberStates[m.State], DrainRate: m.DrainRate,
	}
	if m.State.Alive() {
		out.Settled, out.Pending = load.Settled, load.Pending
	}
	for _, l := range m.Labels {
		if out.Labels == nil {
			out.Labels = map[string]string{}
		}
		out.Labels[l.Name] = l.Value
	}
	return out
}

// memberOf is the description in a Join.
func memberOf(m *apiv1.Member) placement.Member {
	out := placement.Member{
		ID: placement.MemberID(m.GetName()), Address: m.GetAddress(), Kinds: append([]string(nil), m.GetKinds()...),
		Weight: m.GetWeight(), Capacity: m.GetCapacity(),
	}
	for name, value := range m.GetLabels() {
		out.Labels = append(out.Labels, placement.Label{Name: name, Value: value}) // Normalize sorts them
	}
	return out
}

// held is an activation as orders name it.
func held(id placement.Identity, e placement.Epoch) *apiv1.Held {
	return &apiv1.Held{Kind: id.Kind, Key: id.Key, Epoch: uint64(e)}
}
