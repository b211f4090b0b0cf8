package nemesis

import (
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// restLeast and restMost bound the time between two faults. Not shorter: a cluster that never heals never does anything
	// that could be wrong. Not longer: most that is found is found in the seconds after a change.
	restLeast = 300 * time.Millisecond
	restMost  = 1500 * time.Millisecond
	// calm is of how many rests one is long: up to calmMost more.
	calm     = 4
	calmMost = 2 * time.Second
	// stepsMax bounds a plan.
	stepsMax = 10_000
)

// Plan is the steps of a run that lasts so long: each is over by the end, and at most two are under way at a time when
// together is set, otherwise one. An empty menu gives none.
func Plan(menu []Fault, together bool, seed uint64, duration time.Duration) []Step {
	if len(menu) == 0 {
		return nil
	}
	steps := lane(menu, rand.New(rand.NewPCG(seed, 1)), duration)
	if together {
		steps = append(steps, lane(menu, rand.New(rand.NewPCG(seed, 2)), duration)...)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return int(a.At - b.At) })
	return steps
}

// Certain is the duration from which on every plan of a menu has a step, whatever its seed.
func Certain(menu []Fault) time.Duration {
	longest := time.Duration(0)
	for _, f := range menu {
		longest = max(longest, f.Most)
	}
	return restLeast + longest
}

// lane is steps of which one is over before the next begins. The first ones take the menu in turn, in an order that is
// drawn, so that a short run has of everything.
func lane(menu []Fault, rng *rand.Rand, duration time.Duration) []Step {
	var steps []Step
	order := rng.Perm(len(menu))
	at := between(rng, 0, restLeast)
	for len(steps) < stepsMax {
		i := rng.IntN(len(menu))
		if len(steps) < len(order) {
			i = order[len(steps)]
		}
		f := menu[i]
		lasts := between(rng, f.Least, f.Most)
		draw := rng.Uint64()
		if at+lasts > duration {
			return steps
		}
		steps = append(steps, Step{f, at, lasts, draw})
		at += lasts + between(rng, restLeast, restMost)
		if rng.IntN(calm) == 0 {
			at += between(rng, 0, calmMost)
		}
	}
	return steps
}

// between draws a time.
func between(rng *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(rng.Int64N(int64(most-least)))
}
