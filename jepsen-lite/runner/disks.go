package runner

import (
	"errors"
	"slices"
	"syscall"

	"github.com/seed13d31b7f/berth/jepsen-lite/lossyfs"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
)

// PowerLoss takes power from servers.
func (k *cluster) PowerLoss(names []string, keepPercent int, draw uint64) error {
	k.power.Lock()
	defer k.power.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, k.Kill(name))
	}
	for i, name := range names {
		if s := k.server(name); s != nil && s.disk != nil {
			errs = append(errs, s.disk.PowerLoss(lossyfs.PowerLoss{KeepPercent: keepPercent, Seed: draw + uint64(i)}))
		}
	}
	return errors.Join(errs...)
}

// Disk has a server's disk be so as well, until undo is called. A server whose disk fails may end, when it says of what.
func (k *cluster) Disk(name string, f nemesis.DiskFault) (undo func() error, err error) {
	s := k.server(name)
	if s == nil || s.disk == nil {
		return func() error { return nil }, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
	s.blamed = append(s.blamed, wordsOf(f)...)
	undo = func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.faults = slices.DeleteFunc(s.faults, func(x *nemesis.DiskFault) bool { return x == &f })
		return s.setDiskLocked()
	}
	return undo, s.setDiskLocked()
}

// mendDisk takes all faults of a server's disk back.
func (s *server) mendDisk() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == nil {
		return nil
	}
	s.faults = nil
	return s.setDiskLocked()
}

// setDiskLocked has the disk be as all faults together make it.
func (s *server) setDiskLocked() error { return s.disk.SetFaults(faultsOf(s.faults)) }

// well is a disk that is well, and takes POSIX by its word about directories: what was made in one is there after a loss of power
// when that directory was synced, and not when something else was.
var well = lossyfs.Faults{StrictDirectories: true}

// fullBytes is less than what a server has on its disk from the beginning.
const fullBytes = 1

// faultsOf is what faults together make of a disk, in its own words. They are of all files unless each is of the same ones.
func faultsOf(list []*nemesis.DiskFault) lossyfs.Faults {
	all := well
	for i, f := range list {
		all.SyncDelay = max(all.SyncDelay, f.Sync)
		if f.BadSyncs {
			all.Sync = syscall.EIO
		}
		if f.Full {
			all.Capacity = fullBytes
		}
		if f.Copies {
			all.Write = syscall.ENOSPC
		}
		if f.BadWrites {
			all.Write = syscall.EIO
		}
		if f.BadReads {
			all.Read = syscall.EIO
		}
		if i == 0 {
			all.Files = f.Files
		} else if all.Files != f.Files {
			all.Files = ""
		}
	}
	return all
}

// wordsOf are the errors of a disk's fault, as a server names them.
func wordsOf(f nemesis.DiskFault) (words []string) {
	if f.Full || f.Copies {
		words = append(words, syscall.ENOSPC.Error())
	}
	if f.BadSyncs || f.BadWrites || f.BadReads {
		words = append(words, syscall.EIO.Error())
	}
	return words
}
