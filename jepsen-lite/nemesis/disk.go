package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// disk begins a fault of the targets' disks.
func disk(w World, s Step, targets []string) (*Begun, error) {
	rng := rand.New(rand.NewPCG(s.Draw, 5))
	b := &Begun{Targets: targets}
	var fault DiskFault
	switch s.Kind {
	case PowerLoss, TornLoss:
		keep := 0
		if s.Kind == TornLoss {
			keep = 10 + rng.IntN(80)
		}
		b.Detail = fmt.Sprintf("%d %% of what was not synced is left", keep)
		b.End = each(targets, w.Start)
		return b, w.PowerLoss(targets, keep, s.Draw)
	case FullDisk:
		fault.Full, b.Detail = true, "no space left"
		if rng.IntN(2) == 0 { // a log is written over what was made for it before, most of the time
			fault.Copies, b.Detail = true, b.Detail+", nor to write over what is there"
		}
	case BadDisk:
		fault.BadSyncs, b.Detail = true, "every sync fails"
		if rng.IntN(2) == 0 {
			fault.BadSyncs, fault.BadWrites, b.Detail = false, true, "every write fails"
		}
	case SlowDisk:
		fault.Sync = 5*time.Millisecond + time.Duration(rng.Int64N(int64(200*time.Millisecond)))
		b.Detail = fmt.Sprintf("each sync takes %v", fault.Sync.Round(time.Millisecond))
	}
	b.End = each(targets, func(name string) error { return errors.Join(w.Disk(name, DiskFault{}), w.Start(name)) })
	return b, each(targets, func(name string) error { return w.Disk(name, fault) })(context.Background())
}

// each does something to all of a list.
func each(list []string, do func(string) error) func(context.Context) error {
	return func(context.Context) error {
		var errs []error
		for _, name := range list {
			errs = append(errs, do(name))
		}
		return errors.Join(errs...)
	}
}
