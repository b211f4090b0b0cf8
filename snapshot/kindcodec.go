package snapshot

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// kindMessage is a kind with its settings, which are zero for those that were never given any.
func kindMessage(number int, name string, s *placement.KindSettings) *snapshotpb.Kind {
	k := &snapshotpb.Kind{
		Number: uint32(number), Name: name, Strategy: s.Strategy, Attempts: uint32(s.Attempts), MemberCapacity: s.MemberCapacity, ConfirmMs: s.ConfirmMs,
	}
	if s.Settle != placement.SettleOnConfirm { // as it was written before there was another mode
		k.Settle = uint32(s.Settle)
	}
	for _, l := range s.Required() {
		k.Require = append(k.Require, &snapshotpb.Label{Name: l.Name, Value: l.Value})
	}
	return k
}

// settingsOf reads the settings of a kind; ok is false when there are more labels than there may be.
func settingsOf(k *snapshotpb.Kind) (s placement.KindSettings, ok bool) {
	s = placement.KindSettings{
		Strategy: k.Strategy, Attempts: uint8(min(k.Attempts, 255)), Settle: placement.SettleMode(min(k.Settle, 255)),
		MemberCapacity: k.MemberCapacity, ConfirmMs: k.ConfirmMs,
	}
	for i, l := range k.Require {
		if i == len(s.Require) {
			return s, false
		}
		s.Require[i] = placement.Label{Name: l.GetName(), Value: l.GetValue()}
	}
	s.Normalize()
	return s, true
}
