package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// driftMax is a tenth, in millionths: a clock that is a tenth fast beside one that is a tenth slow is within the quarter by
	// which leases are stretched.
	driftMax = 100_000
	// crawl is a tenth of the rate: a lease is to outlast what the others wait for also when they elect another leader meanwhile, which waits
	// anew.
	crawl = -900_000
	// wallMax is how far the time of day jumps, and forwardMax how far a clock does.
	wallMax, forwardMax = 24 * time.Hour, 10 * time.Second
)

// crawling has the targets' clocks go slowly, and cuts them off: nothing tells them that their leases are over. Servers are cut off from each
// other alone, so that clients still ask them.
func crawling(w World, s Step, targets []string) (*Begun, error) {
	if s.Target != Member && s.Target != Locker {
		s.Kind = CutPeers
	}
	l := linksOf(s, w, targets)
	undo, err := w.Degrade(l.change)
	slow := each(targets, func(name string) error { return w.Clock(name, ClockFault{RatePPM: crawl}) })
	well := each(targets, func(name string) error { return w.Clock(name, ClockFault{}) })
	return &Begun{Targets: targets, Detail: "its clock goes at a tenth of its rate, " + l.detail, End: func(ctx context.Context) error {
		return errors.Join(undo(), well(ctx))
	}}, errors.Join(err, slow(context.Background()))
}

// clock begins a fault of the targets' clocks, each its own.
func clock(w World, s Step, targets []string) (*Begun, error) {
	if s.Kind == Crawl {
		return crawling(w, s, targets)
	}
	rng := rand.New(rand.NewPCG(s.Draw, 7))
	b := &Begun{Targets: targets}
	faults := map[string]ClockFault{}
	for _, name := range targets {
		var f ClockFault
		switch s.Kind {
		case Drift:
			f.RatePPM = rng.Int64N(2*driftMax+1) - driftMax
		case WallJump:
			f.Wall = time.Duration(rng.Int64N(2*int64(wallMax))) - wallMax
		case Forward:
			f.Step = time.Duration(rng.Int64N(int64(forwardMax)))
		}
		faults[name] = f
		b.Detail += fmt.Sprintf("%s %+.1f %% %v %v; ", name, float64(f.RatePPM)/10_000, f.Step.Round(time.Millisecond), f.Wall.Round(time.Second))
	}
	b.End = each(targets, func(name string) error { return w.Clock(name, ClockFault{}) })
	return b, each(targets, func(name string) error { return w.Clock(name, faults[name]) })(context.Background())
}
