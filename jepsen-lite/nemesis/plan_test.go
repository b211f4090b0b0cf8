package nemesis

import (
	"slices"
	"testing"
	"time"
)

var testMenu = []Fault{
	{Kill, Leader, 100 * time.Millisecond, 2 * time.Second},
	{Pause, Member, 3 * time.Second, 4 * time.Second},
	{Halve, None, time.Second, time.Second},
}

func TestPlan_Seed_DecidesAll(t *testing.T) {
	a, b := Plan(testMenu, true, 7, time.Minute), Plan(testMenu, true, 7, time.Minute)
	if !slices.Equal(a, b) {
		t.Error("one seed gave two plans")
	}
	if c := Plan(testMenu, true, 8, time.Minute); slices.Equal(a, c) {
		t.Error("two seeds gave one plan")
	}
}

func TestPlan_Steps_AreOverByTheEndAndOneAtATime(t *testing.T) {
	for seed := range uint64(200) {
		for _, together := range []bool{false, true} {
			most := 1
			if together {
				most = 2
			}
			steps := Plan(testMenu, together, seed, 30*time.Second)
			for i, s := range steps {
				if s.At < 0 || s.Lasts < s.Least || s.Lasts > s.Most || s.At+s.Lasts > 30*time.Second {
					t.Fatalf("seed %d: %v does not fit into 30s", seed, s)
				}
				under := 1
				for _, o := range steps[:i] {
					if o.At > s.At {
						t.Fatalf("seed %d: the steps are not in order", seed)
					}
					if o.At+o.Lasts > s.At {
						under++
					}
				}
				if under > most {
					t.Fatalf("seed %d: %d steps are under way at %v, at most %d may be", seed, under, s.At, most)
				}
			}
		}
	}
}

func TestPlan_FirstSteps_TakeTheWholeMenu(t *testing.T) {
	steps := Plan(testMenu, false, 3, time.Minute)
	for _, f := range testMenu {
		if !slices.ContainsFunc(steps[:len(testMenu)], func(s Step) bool { return s.Fault == f }) {
			t.Errorf("%v is not among the first %d steps: %v", f, len(testMenu), steps)
		}
	}
}

func TestCertain_EverySeed_HasAStep(t *testing.T) {
	d, fewer := Certain(testMenu), 0
	for seed := range uint64(5000) {
		if len(Plan(testMenu, false, seed, d)) == 0 {
			t.Errorf("seed %d has no step within %v", seed, d)
		}
		if len(Plan(testMenu, false, seed, d/2)) == 0 {
			fewer++
		}
	}
	if fewer == 0 {
		t.Error("half of it would do")
	}
}

func TestPlan_EmptyMenu_NoSteps(t *testing.T) {
	if got := Plan(nil, true, 1, time.Hour); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
