// Package storage is the data directory of one server: its identity, the Raft log, the vote, and the snapshots.
//
//	server.json   who this server is, and of which cluster (Identity)
//	LOCK          held while a process uses the directory, whose number is in it
//	log.db        the Raft log, in bbolt by raft-boltdb, each record with a checksum (Log)
//	vote.db       Raft's term and vote, in bbolt (VoteStore)
//	snapshots/    the newest two snapshots, by raft.FileSnapshotStore
//
// # What it adds to the libraries
//
// Every rule answers a known fault (raftnode/DESIGN.md, "Hosting hashicorp/raft"):
//
//   - Errors of the disk are final. After one, what is on the disk is not known, and Raft goes on as if it were. Stop is
//     called, and the server must end.
//   - A write that does not return is final too: a leader whose disk hangs keeps sending heartbeats and commits nothing.
//   - Term and candidate of a vote are one transaction, and one record with a checksum.
//   - The identity has a checksum. So have bbolt's meta pages, and both must be whole: bbolt would go back to the older.
//   - The pages of a bbolt file are looked through before it is opened: bbolt has assertions on goroutines of its own, and
//     a damaged page ends the process.
//   - A page that the disk does not give is an error: bbolt maps its files into memory, and a fault of memory ends the
//     process on the spot, without a word to whoever looks after it.
//   - A record of the log is checked when it is read: bbolt accepts a flipped bit.
//   - Long deletions from the front of the log are cut into pieces, since each holds the only write lock.
//   - Files and directories are synced when they are made: bbolt does not, and a power cut takes the whole log.
//   - A directory from which files are missing, or cut short, is refused. It is not a new one.
//   - A snapshot is sealed with a checksum over the library's own record of it. One that is damaged is passed over for the
//     one before it, as long as the log reaches back to that.
//
// # Using it
//
// OpenDir locks the directory; LoadIdentity says whether it is new, and SaveIdentity makes it this server's; OpenStores
// opens log, vote and snapshots, proves that they are whole and fit together, and watches their writes with a Guard.
package storage
