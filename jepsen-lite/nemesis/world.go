package nemesis

import (
	"context"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
)

// World is what faults are done to. Names are those of servers, members, lockers, askers and "clients".
type World interface {
	// Servers are the names of the servers of the cluster; Members, Lockers and Askers, in which clients ask, those of the other processes.
	Servers() []string
	Members() []string
	Lockers() []string
	Askers() []string
	// Leader is the server that leads as far as is known; empty when nobody does.
	Leader() string
	// Degrade makes links worse: change is asked about each, on top of what others change, until undo is called. undo may be
	// called more than once, and is not nil when there is an error.
	Degrade(change func(from, to string, l *switchnet.Link)) (undo func() error, err error)
	// Kill, Pause and Stop act on processes that run; those that do not are left alone. Resume and Start undo them.
	Kill(name string) error
	Pause(name string) error
	Resume(name string) error
	Stop(name string) error
	Start(name string) error
	// Transfer hands the leadership to somebody.
	Transfer(ctx context.Context) error
	// Replace adds a server, and then takes one out.
	Replace(ctx context.Context, name string) (added string, err error)
	// Damage kills a server, damages its disk as draw says, and starts it again. It says what was done, and whether the
	// server takes part after it.
	Damage(ctx context.Context, name string, draw uint64) (what string, alive bool, err error)
	// Identities are some that clients ask about.
	Identities() []string
	// Block puts a member, or an identity, on the block list, or takes it off.
	Block(ctx context.Context, name string, on bool) error
	// PowerLoss kills servers at one moment, and takes from their disks what was not synced, but for keepPercent of it.
	PowerLoss(names []string, keepPercent int, draw uint64) error
	// Disk has a server's disk be so as well, on top of what other faults make of it, until undo is called. undo may be called more
	// than once, and is not nil when there is an error.
	Disk(name string, f DiskFault) (undo func() error, err error)
	// Clock has a process's clock go so.
	Clock(name string, f ClockFault) error
}

// DiskFault says how a disk is to be. The zero value is a disk that is well.
type DiskFault struct {
	// Full has no room for another byte, and Copies none for what is written over either, as where that is copied first.
	Full, Copies bool
	// BadSyncs fails every sync, BadWrites every write, and BadReads every read of a file whose name fits into the pattern Files; empty
	// for all files.
	BadSyncs, BadWrites, BadReads bool
	Files                         string
	// Sync is how long each sync takes.
	Sync time.Duration
}

// ClockFault says how a process's clock goes from now on. The zero value is one that goes right from where it is.
type ClockFault struct {
	// RatePPM is by how many millionths it is fast; slow with a minus.
	RatePPM int64
	// Step is how far it jumps ahead, and Wall how far the time of day jumps, either way.
	Step, Wall time.Duration
}

// ClientsHost is the host that the clients dial from.
const ClientsHost = "clients"
