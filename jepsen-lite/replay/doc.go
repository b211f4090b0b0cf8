// Package replay runs a committed log through the state machine again, and through a model of a hundred lines beside it, and
// says what every identity, lock and request was at every log index.
//
// It is the reference that answers of a run are held against: what a server said of index i must be what the log says of it.
// The state machine (package fsm) could be wrong in the same way twice, so the model keeps its own account of each placement from
// the changes that the machine reports, and Replay fails where the two differ.
//
// A log is copied from the data directory of a server that has ended (raftnode.ReadLog) into a file with a line for each entry:
//
//	{"index":7,"term":2,"command":"CAEQBw=="}
//
// Entries that Raft makes for itself have no command. What is committed the run must say: a log may have entries at its end
// that never were. Logs of several servers agree up to there, or one of them is wrong (Agree).
package replay
