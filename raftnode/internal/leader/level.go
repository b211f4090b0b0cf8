package leader

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// raiseLook is how often a driver looks whether the feature level can be raised.
const raiseLook = time.Second

// raising is how far the driver is with raising the feature level.
type raising struct {
	next    lease.Instant // not before; owned by the goroutine of the clock
	running atomic.Bool   // a command is on its way
}

// raiseLevel raises the cluster's feature level when every server understands a higher one.
func (d *Driver) raiseLevel(ctx context.Context, now lease.Instant) {
	if now < d.raising.next || d.raising.running.Load() {
		return
	}
	d.raising.next = now.Add(raiseLook)
	v := d.group.View()
	level := d.commonLevel(v)
	if level <= v.Cluster.FeatureLevel {
		return
	}
	d.raising.running.Store(true)
	d.tasks.Go(func() {
		defer d.raising.running.Store(false)
		// What is refused is asked for again, while it is so still.
		_, _ = proposeEach(ctx, d.group, []uint32{level}, func(level uint32) fsm.Body { return &fsm.SetFeatureLevel{Level: level} })
	})
}

// commonLevel is the level that this server understands and every other one has announced: those of Raft's configuration,
// voting or not, since all of them apply the log, and those that are registered. It is zero when one has announced nothing.
func (d *Driver) commonLevel(v *snapshot.View) uint32 {
	level := d.config.Level
	for _, s := range d.group.Servers() {
		x, _ := v.Server(s.Name)
		if x.Removed {
			return 0
		}
		level = min(level, x.FeatureLevel)
	}
	for s := range v.Servers() {
		if !s.Removed {
			level = min(level, s.FeatureLevel)
		}
	}
	return level
}
