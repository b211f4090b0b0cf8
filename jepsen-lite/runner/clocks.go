package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/clockskew"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
)

// skew builds the berth whose clocks can be skewed, when the scenario needs it, and has the run take it.
func (r *run) skew(ctx context.Context) error {
	c := r.config
	if !c.Scenario.Clocks() {
		return nil
	}
	if c.Source == "" {
		return &UnavailableError{errors.New("clocks that can be skewed need a berth that is built for it, and Go and berth's source are not here: run it in the source's directory")}
	}
	binary := filepath.Join(r.tmp, "berth-skewed")
	c.Note("building a berth whose clocks can be skewed: a minute or two at the first time")
	if err := clockskew.Build(ctx, clockskew.Config{Root: c.Source, Package: "cmd/berth", Output: binary}); err != nil {
		return &UnavailableError{fmt.Errorf("a berth whose clocks can be skewed: %w", err)}
	}
	c.Binary = binary
	return nil
}

// clockSocket is where the clock of a process is told how to go.
func (k *cluster) clockSocket(name string) string {
	return filepath.Join(filepath.Dir(k.guarded), name+".clock")
}

// clockEnv is what a process whose clock can be skewed needs in its environment.
func (k *cluster) clockEnv(name string) []string {
	if !k.config.Scenario.Clocks() {
		return nil
	}
	return clockskew.Env(k.clockSocket(name), clockskew.Clock{})
}

// listenTimeout is how long a process may take from its start until it can be told how its clock is to go.
const listenTimeout = 5 * time.Second

// Clock has a process's clock go so; one that does not run, or is stopped, keeps the clock that it has, and one that starts again
// has a clock that is right until it is told otherwise. A process that does not answer, though nobody stops or kills it, is an error.
func (k *cluster) Clock(name string, f nemesis.ClockFault) error {
	w := k.find(name)
	if !k.config.Scenario.Clocks() || w == nil {
		return nil
	}
	signals := w.Signals() // before it is looked at: one that comes in between counts
	if !w.Runs() || w.Stopped() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), listenTimeout)
	defer cancel()
	var err error
	k.await(ctx, func() bool {
		err = clockskew.Set(k.clockSocket(name), clockskew.Clock{RatePPM: f.RatePPM, Step: f.Step, Wall: f.Wall})
		early := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		return !early || !w.Runs() || w.Stopped()
	})
	if err != nil && (!w.Runs() || w.Signals() != signals) {
		return nil // it was killed or stopped meanwhile
	}
	return err
}
