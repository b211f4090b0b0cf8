package lossyfs

import (
	"path"
	"syscall"
	"time"
)

// CapacityDefault is how many bytes the files may have together, unless Faults say otherwise: they are in memory.
const CapacityDefault = 1 << 30

// filesMax is how many files and directories there may be; one more finds no space.
const filesMax = 1 << 16

// Faults are what the file system does wrong from now on. The zero value is nothing.
type Faults struct {
	// Read, Write and Sync are the errors of all reads, writes and syncs; zero is none. A process may have what it reads
	// in its cache; then it is not read again.
	Read, Write, Sync syscall.Errno
	// SyncDelay is how long each sync takes.
	SyncDelay time.Duration
	// Files is a pattern of path.Match for the names of the files that the above is about. Default: all.
	Files string
	// Capacity is how many bytes the files may have together; more has ENOSPC. Default CapacityDefault.
	Capacity int64
	// StrictDirectories has entries of directories survive a power loss by the strict rule.
	StrictDirectories bool
}

// about says whether a file of that name has the faults.
func (f *Faults) about(name string) bool {
	if f.Files == "" {
		return true
	}
	ok, err := path.Match(f.Files, name)
	return ok && err == nil
}

// PowerLoss says what a power loss leaves of what was not synced. The zero value is nothing.
type PowerLoss struct {
	// KeepPercent of the sectors that were not synced are there afterwards, and the first of the changes of directories.
	KeepPercent int
	// Seed decides which.
	Seed uint64
}

// Stats count what happened since the start.
type Stats struct {
	Reads, Writes, Syncs int64
	// Errors are the reads, writes and syncs that failed by Faults, or found no space.
	Errors int64
	// PowerLosses, and what they took: sectors of 512 bytes, and changes of directories.
	PowerLosses, LostSectors, LostChanges int64
	// Bytes are what the files have together.
	Bytes int64
}
