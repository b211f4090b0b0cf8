// Package lossyfs is a file system in memory that loses power on demand: what was not synced is forgotten, as a disk
// forgets it, and not merely what a killed process had not written yet. It also fails and delays reads, writes and syncs.
//
//	d, err := lossyfs.Start([]string{"lossyfs"})  // the program of jepsen-lite/cmd/lossyfs
//	… // run a server with its data in d.Dir(), and kill it
//	err = d.PowerLoss(lossyfs.PowerLoss{})
//	… // start it again
//	err = d.Close()
//
// The file system is served by a process of its own, over FUSE, in a mount namespace of its own, and is reached through
// that process's root in /proc. So nothing of it is left when the process has ended, however it ended, and it ends when
// the one that started it does. It must be another process than those that use it: one that waits for a page of a mapped
// file cannot serve that page. It needs Linux, root, and /dev/fuse; without them Start fails with ErrUnavailable.
//
// What a power loss leaves, by the two rules for directories:
//
//	         file contents      entries of directories
//	ordered  what was synced    those made before any file or directory was synced last (as ext4 with its journal does it)
//	strict   what was synced    those of directories that were synced themselves (what POSIX promises, and no more)
//
// With PowerLoss.KeepPercent a random part of the rest is there too: single sectors, in no order, and the first so many
// changes of directories. A sync that fails forgets what it was to save, as Linux does: the next sync says that all is well.
//
// # Goroutines
//
// A Disk has none. Serve has those of the FUSE server, which end when its process does.
package lossyfs
