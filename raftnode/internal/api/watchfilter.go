package api

import (
	"strings"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// eventTypeMax is the largest number of an event's type.
const eventTypeMax = apiv1.Event_LEADER_CHANGED

// watchFilter says which events are wanted.
type watchFilter struct {
	kind, prefix string
	member       placement.MemberID
	types        [eventTypeMax + 1]bool
}

// watchFilterOf reads what a request wants.
func watchFilterOf(req *apiv1.WatchRequest) (*watchFilter, error) {
	if len(req.Prefix) > placement.KeyBytesMax {
		return nil, invalid("the prefix has %d bytes, and a key at most %d", len(req.Prefix), placement.KeyBytesMax)
	}
	if len(req.Kind) > placement.KindBytesMax || len(req.Member) > placement.MemberIDBytesMax {
		return nil, invalid("kind and member have %d and %d bytes, and their names at most %d and %d",
			len(req.Kind), len(req.Member), placement.KindBytesMax, placement.MemberIDBytesMax)
	}
	f := &watchFilter{kind: req.Kind, prefix: req.Prefix, member: placement.MemberID(req.Member)}
	for _, t := range req.Types {
		if _, known := apiv1.Event_Type_name[int32(t)]; !known || t == apiv1.Event_UNSPECIFIED {
			return nil, invalid("there is no event of type %d", t)
		}
		f.types[t] = true
	}
	if len(req.Types) == 0 {
		for t := range apiv1.Event_Type_name {
			f.types[t] = true
		}
	}
	return f, nil
}

// wants says whether an event of a type is wanted that is about an identity, a kind, or a member; empty for none.
func (f *watchFilter) wants(t apiv1.Event_Type, id placement.Identity, member placement.MemberID) bool {
	return f.types[t] && (f.kind == "" || id.Kind == f.kind) && (f.prefix == "" || strings.HasPrefix(id.Key, f.prefix)) &&
		(f.member == "" || member == f.member)
}

// wantsAny says whether one of the types is wanted.
func (f *watchFilter) wantsAny(types ...apiv1.Event_Type) bool {
	for _, t := range types {
		if f.types[t] {
			return true
		}
	}
	return false
}
