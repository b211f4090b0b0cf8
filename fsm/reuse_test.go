package fsm

import (
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/snapshot"
)

// What is given back is used again, and what it said before is not in it.
func TestMachine_Reuse_ChangesAreMadeAnew(t *testing.T) {
	m := New(snapshot.Empty())
	m.Observed = true
	plain := New(snapshot.Empty())
	plain.Observed = true
	for _, l := range randomLog(t, 3, 600) {
		got, err := m.Apply(l.index, l.term, l.data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.Apply(l.index, l.term, l.data)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := fmt.Sprintf("%+v", words(got.Changes)), fmt.Sprintf("%+v", words(want.Changes)); a != b {
			t.Fatalf("at index %d: %s, want %s", l.index, a, b)
		}
		m.Reuse(got)
		if got.Changes != nil {
			t.Fatal("what was given back is still there")
		}
	}
	if len(m.spares) == 0 || len(m.spares) > sparesMax {
		t.Errorf("%d slices are kept", len(m.spares))
	}
}

// words are changes without pointers.
func words(changes []Change) (list []string) {
	for _, c := range changes {
		list = append(list, fmt.Sprint(c.Type, c.Cause, c.Position, c.Request, c.Identity, c.Before, c.Entry, c.Member != nil, c.Former != nil, c.Failed != nil, c.Session))
	}
	return list
}
