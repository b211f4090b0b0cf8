package nemesis

import (
	"cmp"
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
	again := false // whether the targets are killed and started on such a disk
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
	case BadReads:
		fault.BadReads, fault.Files = true, readFiles[rng.IntN(len(readFiles))]
		b.Detail = fmt.Sprintf("every read of %s fails", cmp.Or(fault.Files, "all files"))
		if again = rng.IntN(4) > 0; again { // what a server reads it reads when it begins, most of it
			b.Detail += ", and it begins anew"
		}
	}
	var undos []func() error
	b.End = func(ctx context.Context) error {
		var errs []error
		for _, undo := range undos {
			errs = append(errs, undo())
		}
		return errors.Join(append(errs, each(targets, w.Start)(ctx))...)
	}
	return b, each(targets, func(name string) error {
		if again {
			if err := w.Kill(name); err != nil {
				return err
			}
		}
		undo, err := w.Disk(name, fault)
		undos = append(undos, undo)
		if err != nil || !again {
			return err
		}
		return w.Start(name)
	})(context.Background())
}

// readFiles are the patterns of the files of which one is not read: who began with another one would look at the first file alone.
var readFiles = []string{"", "server.json", "log.db", "vote.db", "meta.json", "state.bin"}

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
