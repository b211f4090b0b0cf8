package history

import (
	"cmp"
	"fmt"
)

// Hold says that a member, or the holder of a lock, believed to own something at each moment from From to To at which it
// looked. It looks with the thread that acts, often; where it did not look for a while, since it was stopped, one Hold ends
// and the next begins. Several Holds of one epoch that meet are one belief.
type Hold struct {
	// Identity or Lock is what is held.
	Identity string `json:"identity,omitempty"`
	Lock     string `json:"lock,omitempty"`
	// Member is who believes so: a member, or the client that holds a lock. Incarnation is a member's.
	Member      string `json:"member"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Epoch is the fencing token, Mode that of a lock.
	Epoch uint64 `json:"epoch"`
	Mode  string `json:"mode,omitempty"`
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	// Ended says that it stopped of its own accord, and Why: Released, Lost, or a word for people.
	Ended bool   `json:"ended,omitempty"`
	Why   string `json:"why,omitempty"`
}

// Why a belief ends.
const (
	// Released: it was given up, or taken away in order.
	Released = "released"
	// Lost: the lease was not proved in time.
	Lost = "lost"
)

func (h *Hold) validate() error {
	switch {
	case (h.Identity == "") == (h.Lock == ""):
		return fmt.Errorf("it is about an identity or a lock, and about one of them")
	case h.Epoch == 0:
		return fmt.Errorf("its epoch is missing")
	case h.From < 0 || h.To < h.From:
		return fmt.Errorf("it lasts from %d to %d", h.From, h.To)
	case h.Mode != "" && h.Mode != Exclusive && h.Mode != Shared && h.Mode != Semaphore:
		return fmt.Errorf("there is no mode %.40q", h.Mode)
	}
	return cmp.Or(named("member", h.Member), texts("identity", h.Identity, "lock", h.Lock, "why", h.Why))
}

// Write is a write that a guarded resource was asked for, in the order in which the resource decided.
type Write struct {
	// Resource is what is guarded: the identity, or the lock.
	Resource string `json:"resource"`
	// Writer is who asked, under which Token. Accepted says what the resource decided.
	Writer   string `json:"writer"`
	Token    uint64 `json:"token"`
	Accepted bool   `json:"accepted"`
	// Value is what was written, if that is to be found again.
	Value string `json:"value,omitempty"`
}

func (w *Write) validate() error {
	return cmp.Or(named("resource", w.Resource), named("writer", w.Writer), texts("value", w.Value))
}

// What a watch says.
const (
	// WatchOpen: the watcher asked, for what follows after Index.
	WatchOpen = "open"
	// WatchEvent: something changed at Index.
	WatchEvent = "event"
	// WatchEntry: what is so at Index, of a snapshot in the stream: a placement, or, of the type block_added, what is on the block list.
	WatchEntry = "entry"
	// WatchMark: everything up to Index has been sent.
	WatchMark = "mark"
	// WatchReset: the stream begins anew with a snapshot, which follows.
	WatchReset = "reset"
	// WatchCompacted: Index is not remembered any more; the stream ends.
	WatchCompacted = "compacted"
	// WatchClose: the stream ended.
	WatchClose = "close"
)

// Watch is one message of a watch stream, or about it.
type Watch struct {
	// Stream numbers the streams of a history, from 1 on. A watcher that goes on with another server has the same number.
	Stream uint64 `json:"stream"`
	What   string `json:"what"`
	Server string `json:"server,omitempty"`
	// Generation and Index are where in the log it is, and Position where among the events of that index.
	Generation uint64 `json:"generation,omitempty"`
	Index      uint64 `json:"index,omitempty"`
	Position   int    `json:"position,omitempty"`
	// Kind and Prefix are the filter of an open; empty for all.
	Kind   string `json:"kind,omitempty"`
	Prefix string `json:"prefix,omitempty"`
	// Type says what changed, as the API names it in lower case.
	Type        string `json:"type,omitempty"`
	Identity    string `json:"identity,omitempty"`
	Lock        string `json:"lock,omitempty"`
	Member      string `json:"member,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Epoch       uint64 `json:"epoch,omitempty"`
	Session     uint64 `json:"session,omitempty"`
}

func (w *Watch) validate() error {
	switch w.What {
	case WatchOpen, WatchEvent, WatchEntry, WatchMark, WatchReset, WatchCompacted, WatchClose:
	default:
		return fmt.Errorf("a watch says no %.40q", w.What)
	}
	if w.Stream == 0 || w.Position < 0 {
		return fmt.Errorf("stream %d, position %d", w.Stream, w.Position)
	}
	return texts("server", w.Server, "kind", w.Kind, "prefix", w.Prefix, "type", w.Type, "identity", w.Identity, "lock", w.Lock, "member", w.Member)
}

// Server is what a server says of itself.
type Server struct {
	Name string `json:"name"`
	// Role is leader, follower, nonvoter or forming, and Leader whom it takes for the leader.
	Role   string `json:"role"`
	Term   uint64 `json:"term,omitempty"`
	Leader string `json:"leader,omitempty"`
	// Applied and Barrier are those of the state that it shows.
	Applied uint64 `json:"applied,omitempty"`
	Barrier uint64 `json:"barrier,omitempty"`
	// LeaseUntil is the moment until which its read lease lasts; zero for none.
	LeaseUntil int64 `json:"lease_until,omitempty"`
}

func (s *Server) validate() error {
	return cmp.Or(named("name", s.Name), named("role", s.Role), texts("leader", s.Leader))
}

// Digest is the digest of a server's state at an index.
type Digest struct {
	Server string `json:"server"`
	Index  uint64 `json:"index"`
	Digest string `json:"digest"`
	// Recomputed says that it was computed from the state, and not carried along.
	Recomputed bool `json:"recomputed,omitempty"`
	// Final says that it belongs to the reads after everything has healed.
	Final bool `json:"final,omitempty"`
}

func (d *Digest) validate() error {
	return cmp.Or(named("server", d.Server), named("digest", d.Digest))
}

// Fault is the beginning or the end of a fault.
type Fault struct {
	// Fault numbers the faults of a history, from 1 on.
	Fault uint64 `json:"fault"`
	// Kind is what is done, Targets to whom, and Detail the numbers of it, for people.
	Kind    string   `json:"kind"`
	Targets []string `json:"targets,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	// Ends says that it is over; otherwise it begins. Took is how long that took, in nanoseconds.
	Ends bool  `json:"ends,omitempty"`
	Took int64 `json:"took_ns,omitempty"`
}

func (f *Fault) validate() error {
	if f.Fault == 0 {
		return fmt.Errorf("its number is missing")
	}
	return cmp.Or(named("kind", f.Kind), list("targets", f.Targets), texts("detail", f.Detail))
}

// What a process does.
const (
	ProcessStart = "start" // it was started
	ProcessReady = "ready" // it takes part
	ProcessStop  = "stop"  // SIGSTOP
	ProcessGoOn  = "go-on" // SIGCONT
	ProcessKill  = "kill"  // SIGKILL was sent
	ProcessExit  = "exit"  // it ended, and was waited for
	ProcessCrash = "crash" // it ended with a panic, a race, or for a reason that it may not end for
	// ProcessRemoved: a server was taken out of the cluster for good.
	ProcessRemoved = "removed"
)

// Process is something in the life of a process.
type Process struct {
	Name string `json:"name"`
	// Kind is server, member or client.
	Kind string `json:"kind"`
	What string `json:"what"`
	PID  int    `json:"pid,omitempty"`
	// Status is how it ended, for people.
	Status string `json:"status,omitempty"`
}

func (p *Process) validate() error {
	switch p.What {
	case ProcessStart, ProcessReady, ProcessStop, ProcessGoOn, ProcessKill, ProcessExit, ProcessCrash, ProcessRemoved:
	default:
		return fmt.Errorf("a process does no %.40q", p.What)
	}
	return cmp.Or(named("name", p.Name), named("kind", p.Kind), texts("status", p.Status))
}
