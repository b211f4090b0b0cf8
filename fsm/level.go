package fsm

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// FeatureLevel is the newest set of commands and fields that this version understands.
const FeatureLevel = 1

// firstLevel is the level with which every cluster begins, whatever its servers understand: it is decided by the log, and
// servers of different versions must decide alike.
const firstLevel = 1

// levels are the commands that not every version has: the feature level from which each may be proposed. Those that are
// not here are of the first level.
var levels = map[op]uint32{}

// SetFeatureLevel raises the feature level of the cluster. The leader proposes it once every server has announced that it
// understands it. A level is never taken back.
//
// Verdicts: Done, Already, LevelNotReached when a registered server did not announce it.
type SetFeatureLevel struct{ Level uint32 }

// Validate wants a level.
func (c *SetFeatureLevel) Validate() error {
	if c.Level == 0 {
		return fmt.Errorf("the level is zero")
	}
	return nil
}

// CheckLevel returns ErrFeatureLevel when a state is of a cluster whose commands and fields are not all known at the level
// that a version understands. That version must not go on with it: it would make another state than the rest.
func CheckLevel(v *snapshot.View, understood uint32) error {
	if level := v.Cluster.FeatureLevel; level > understood {
		return levelError(level, understood)
	}
	return nil
}

func levelError(level, understood uint32) error {
	return fmt.Errorf("%w: it needs feature level %d, this version has %d", ErrFeatureLevel, level, understood)
}

// reached says whether a command may be carried out at the level of the cluster.
func (m *Machine) reached(op op) bool { return levels[op] <= m.edit.View().Cluster.FeatureLevel }

func (m *Machine) applySetFeatureLevel(b []byte) (Result, error) {
	c, err := decodeSetFeatureLevel(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	cluster := m.edit.View().Cluster
	if c.Level <= cluster.FeatureLevel {
		return Result{Verdict: placement.Already}, nil
	}
	if !announced(m.edit.View(), c.Level) {
		return Result{Verdict: placement.LevelNotReached}, nil
	}
	if c.Level > m.Level {
		return Result{}, levelError(c.Level, m.Level)
	}
	cluster.FeatureLevel = c.Level
	m.edit.SetCluster(cluster)
	return Result{Verdict: placement.Done}, nil
}

// announced says whether every server that is registered understands a level, and there is one.
func announced(v *snapshot.View, level uint32) bool {
	any := false
	for s := range v.Servers() {
		if s.Removed {
			continue
		}
		if s.FeatureLevel < level {
			return false
		}
		any = true
	}
	return any
}
