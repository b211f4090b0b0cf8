package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
)

// faults brings about what was planned, and ends it.
func (r *run) faults(ctx context.Context) error {
	begin := time.Now()
	var group sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for i, s := range r.report.Steps {
		if sleep(ctx, time.Until(begin.Add(s.At))) != nil {
			break
		}
		group.Go(func() {
			err := r.step(ctx, uint64(i+1), s)
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	_ = sleep(ctx, time.Until(begin.Add(r.config.Duration))) // ctx is looked at below
	group.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// step brings one fault about, and ends it.
func (r *run) step(ctx context.Context, number uint64, s nemesis.Step) error {
	began := time.Now()
	b, err := nemesis.Begin(ctx, r.cluster, s)
	if b == nil {
		return err
	}
	say := func(ends bool, took time.Duration) {
		r.rec.Record(history.Event{Fault: &history.Fault{Fault: number, Kind: string(s.Kind), Targets: b.Targets, Detail: b.Detail, Ends: ends, Took: int64(took)}})
	}
	say(false, time.Since(began))
	r.config.Note("%s %v %s", s, b.Targets, b.Detail)
	if b.Do != nil {
		err = errors.Join(err, b.Do(ctx))
	}
	_ = sleep(ctx, s.Lasts-time.Since(began)) // also one that is broken off is ended
	ending := time.Now()
	err = errors.Join(err, b.End(context.WithoutCancel(ctx)))
	say(true, time.Since(ending))
	return err
}
