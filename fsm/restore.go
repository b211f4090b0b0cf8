package fsm

import (
	"errors"
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// GenerationMax is the last recovery generation: an epoch has 16 bits for it.
const GenerationMax = 1<<16 - 1

// ErrGenerations says that there is no further recovery generation, so that no epoch could be made that is new.
var ErrGenerations = errors.New("the last generation of epochs is used up")

// ErrNoState says that a snapshot is of no cluster: no command was applied before it.
var ErrNoState = errors.New("the snapshot holds the state of no cluster")

// ErrFeatureLevel says that a state is of a cluster whose commands and fields this version does not all know.
var ErrFeatureLevel = errors.New("the state is of a newer version")

// Restore returns the state that a new cluster begins with, made of the snapshot of another one, which stays as it is.
// Every epoch that the new cluster makes is larger than all of the snapshot's, and than all that the old cluster can make
// within the next GenerationIndexes/2 entries of its log, should it still run.
//
// above is zero, or a generation that the new cluster's must be larger than: two clusters that are restored from one file
// begin with the same generation otherwise.
//
// The new cluster has another id, a larger recovery generation, and no servers. Sessions and locks go too, unless keepLocks is
// set: then those who hold them have the full TTL from the new cluster's first tenure on. Everything else stays: what members own,
// the members themselves, who are alive until their leases must be over by the rules, and the remembered answers to
// requests. What those requests did is in the state, so asking again must find the answer, and must not do it twice.
//
// Errors are ErrGenerations, ErrNoState and ErrFeatureLevel. It costs one pass over the view.
func Restore(v *snapshot.View, cluster string, above uint16, keepLocks bool) (*snapshot.View, error) {
	c := v.Cluster
	if c.ID == "" || v.Index == 0 {
		return nil, ErrNoState
	}
	if err := CheckLevel(v, FeatureLevel); err != nil {
		return nil, err
	}
	// The old cluster begins the next generation by itself when the indexes of this one run out.
	generation := uint32(c.Generation) + 1
	if v.Index-c.EpochBase >= placement.GenerationIndexes/2 {
		generation++
	}
	generation = max(generation, uint32(above)+1)
	if generation > GenerationMax {
		return nil, fmt.Errorf("the snapshot is of generation %d: %w", c.Generation, ErrGenerations)
	}
	c.ID, c.Generation, c.EpochBase = cluster, uint16(generation), v.Index
	e := snapshot.NewEditor(v)
	e.SetCluster(c)
	e.DropServers()
	if !keepLocks {
		e.DropSessions()
	}
	return e.Publish(), nil
}
