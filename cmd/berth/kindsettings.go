package main

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// kindSettings is how a kind is placed in the state of a file.
func kindSettings(name string, s placement.KindSettings) *apiv1.Kind {
	k := &apiv1.Kind{Name: name, Strategy: s.Strategy, Attempts: uint32(s.Attempts), Settle: s.Settle.String(), MemberCapacity: s.MemberCapacity}
	for _, l := range s.Required() {
		if k.Require == nil {
			k.Require = map[string]string{}
		}
		k.Require[l.Name] = l.Value
	}
	if s.ConfirmMs != 0 {
		k.ConfirmWithin = durationpb.New(time.Duration(s.ConfirmMs) * time.Millisecond)
	}
	return k
}

// settingsOf are the kinds of a state that have other settings than the defaults.
func settingsOf(v *snapshot.View) (list []*apiv1.Kind) {
	var plain placement.KindSettings
	plain.Normalize()
	for name := range v.Kinds() {
		if s := v.KindSettings(name); s != plain {
			list = append(list, kindSettings(name, s))
		}
	}
	return list
}

// settingsChanged are the kinds whose settings differ between two states.
func settingsChanged(from, to *snapshot.View) (list []*apiv1.SnapshotDiff_KindChange) {
	names := slices.Concat(slices.Collect(from.Kinds()), slices.Collect(to.Kinds()))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if a, b := from.KindSettings(name), to.KindSettings(name); a != b {
			list = append(list, &apiv1.SnapshotDiff_KindChange{From: kindSettings(name, a), To: kindSettings(name, b)})
		}
	}
	return list
}

func settingsHeader(r *output.Rows) {
	r.Row("KIND", "STRATEGY", "ATTEMPTS", "SETTLE", "REQUIRE", "MEMBER CAPACITY", "CONFIRM WITHIN")
}

func settingsRow(r *output.Rows, k *apiv1.Kind) {
	r.Row(k.Name, k.Strategy, k.Attempts, k.Settle, requireWords(k.Require), capacityWord(k.MemberCapacity), confirmWord(k.ConfirmWithin))
}
