package placement

import (
	"fmt"
	"testing"
)

// apart says whether the owners of one key in two kinds have nothing to do with each other: of n members they are the same one
// time in n.
func apart(s Strategy, from []*Member) error {
	const keys = 4000
	same := 0
	for i := range keys {
		key := fmt.Sprint("tenant-", i)
		a := s.Choose(&Query{Identity: Identity{"cart", key}, Epoch: Epoch(2*i + 1), Load: noLoad}, from)
		b := s.Choose(&Query{Identity: Identity{"user", key}, Epoch: Epoch(2*i + 2), Load: noLoad}, from)
		if a.Owner == b.Owner {
			same++
		}
	}
	// Four standard deviations are a sixth of what is expected.
	if want := keys / len(from); same < want*5/6 || same > want*7/6 {
		return fmt.Errorf("%d of %d keys have the same owner in two kinds, want about %d", same, keys, want)
	}
	return nil
}

// keyAlone ranks the members by the key.
type keyAlone struct{ Rendezvous }

func (k keyAlone) Choose(q *Query, candidates []*Member) Choice {
	x := *q
	x.Identity.Kind = "any"
	return k.Rendezvous.Choose(&x, candidates)
}

// A kind is part of what is hashed: whoever has many kinds of one key does not have all of them on one member. The one
// strategy that leaves it out does so since its model does, and is seen to, as is one that forgets it.
func TestStrategies_Kinds_LieApart(t *testing.T) {
	from := loopback(8)
	for _, s := range strategies {
		if err := apart(s, from); (err == nil) != (s != ProtoActorGo1{}) {
			t.Errorf("%s: %v", s.Name(), err)
		}
	}
	if apart(keyAlone{}, from) == nil {
		t.Error("a strategy that looks at the key alone is not seen")
	}
}
