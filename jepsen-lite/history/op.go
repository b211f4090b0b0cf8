package history

import (
	"cmp"
	"fmt"
)

// F says what an operation does.
type F string

// The operations.
const (
	// Place, Lookup, Remove and Move are about an identity, and are clients'.
	Place  F = "place"
	Lookup F = "lookup"
	Remove F = "remove"
	Move   F = "move"
	// Confirm and Free are a member's: it takes an identity that it was given, and gives it up.
	Confirm F = "confirm"
	Free    F = "free"
	// Acquire, Renew, Release, Break and GetLock are about a lock.
	Acquire F = "acquire"
	Renew   F = "renew"
	Release F = "release"
	Break   F = "break"
	GetLock F = "get-lock"
	// Export saves the whole state.
	Export F = "export"
	// Block and Unblock put a member or an identity on the block list, and take it off.
	Block   F = "block"
	Unblock F = "unblock"
)

// about says what an operation is about.
func (f F) about() (identity, lock, known bool) {
	switch f {
	case Place, Lookup, Remove, Move, Confirm, Free:
		return true, false, true
	case Acquire, Renew, Release, Break, GetLock:
		return false, true, true
	case Export, Block, Unblock:
		return false, false, true
	}
	return false, false, false
}

// Changes says whether the operation may change the state.
func (f F) Changes() bool { return f != Lookup && f != GetLock && f != Export }

// IsFault says whether the operation is a fault of a test, which nobody makes any more when everything has healed.
func (f F) IsFault() bool { return f == Block || f == Unblock }

// Call is the beginning of an operation.
type Call struct {
	// Op numbers the operations of a history, from 1 on.
	Op uint64 `json:"op"`
	// Client is who asks, one thing at a time.
	Client string `json:"client"`
	F      F      `json:"f"`
	// Identity is kind/key.
	Identity string `json:"identity,omitempty"`
	Lock     string `json:"lock,omitempty"`
	// Server is who was asked; empty when the client library chose.
	Server string `json:"server,omitempty"`
	// Level is that of a read: leased, leader or stale; empty for leased.
	Level string `json:"level,omitempty"`
	// Request is the ULID that the log knows the change by. Attempts of one request are operations of their own.
	Request string `json:"request,omitempty"`
	// Epoch and To are those of a Remove, Move, Confirm or Free; zero and empty for none.
	Epoch uint64 `json:"epoch,omitempty"`
	To    string `json:"to,omitempty"`
	// Session, Token, Mode and Permits are those of a lock. Mode is exclusive, shared or semaphore; empty for exclusive.
	Session uint64 `json:"session,omitempty"`
	Token   uint64 `json:"token,omitempty"`
	Mode    string `json:"mode,omitempty"`
	Permits uint32 `json:"permits,omitempty"`
	// Subject is what a Block or Unblock is about: the name of a member, or kind/key.
	Subject string `json:"subject,omitempty"`
	// Final says that it belongs to the reads after everything has healed.
	Final bool `json:"final,omitempty"`
}

// The levels of reads, and the modes of locks.
const (
	Leased, Leader, Stale        = "leased", "leader", "stale"
	Exclusive, Shared, Semaphore = "exclusive", "shared", "semaphore"
)

func (c *Call) validate() error {
	identity, lock, known := c.F.about()
	switch {
	case !known:
		return fmt.Errorf("there is no operation %.40q", c.F)
	case c.Op == 0:
		return fmt.Errorf("its number is missing")
	case identity != (c.Identity != ""):
		return fmt.Errorf("%s of the identity %.80q", c.F, c.Identity)
	case lock != (c.Lock != ""):
		return fmt.Errorf("%s of the lock %.80q", c.F, c.Lock)
	case c.F.IsFault() != (c.Subject != ""):
		return fmt.Errorf("%s of the subject %.80q", c.F, c.Subject)
	case c.Level != "" && c.Level != Leased && c.Level != Leader && c.Level != Stale:
		return fmt.Errorf("there is no level %.40q", c.Level)
	case c.Mode != "" && c.Mode != Exclusive && c.Mode != Shared && c.Mode != Semaphore:
		return fmt.Errorf("there is no mode %.40q", c.Mode)
	}
	return cmp.Or(named("client", c.Client), texts("identity", c.Identity, "lock", c.Lock, "server", c.Server, "request", c.Request, "to", c.To, "subject", c.Subject))
}

// The phases in an answer about an identity.
const (
	// Absent: nobody owns it.
	Absent = "absent"
	// Settled: the answer names the owner.
	Settled = "settled"
	// Unsettled: not settled at the moment; the answer says no more, and promises nothing.
	Unsettled = "unsettled"
)

// Answer is the end of an operation.
type Answer struct {
	Op uint64 `json:"op"`
	// Reason is why it failed or is unknown, of the API's closed list; Message is for people.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Phase, Member, Incarnation and Epoch are what was seen of the identity, and Created says that this call placed it. A
	// Lookup that finds nothing is ok and Absent. A Remove that is complete is ok and Absent, with the Epoch that it removed,
	// if that is known.
	Phase       string `json:"phase,omitempty"`
	Member      string `json:"member,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"`
	Epoch       uint64 `json:"epoch,omitempty"`
	Created     bool   `json:"created,omitempty"`
	// Token and Session are those of a lock, and Held says that the session holds it. Holders are the tokens that GetLock saw
	// hold it, ascending.
	Token   uint64   `json:"token,omitempty"`
	Session uint64   `json:"session,omitempty"`
	Held    bool     `json:"held,omitempty"`
	Holders []uint64 `json:"holders,omitempty"`
	// Hash is that of all that an export says, and Digest that of the state in it.
	Hash   string `json:"hash,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Read is the proof of the answer; nil when it has none.
	Read *Proof `json:"read,omitempty"`
}

// Proof says who answered, and from which state.
type Proof struct {
	Server string `json:"server"`
	// Role is leader, follower or nonvoter.
	Role  string `json:"role,omitempty"`
	Level string `json:"level,omitempty"`
	Term  uint64 `json:"term,omitempty"`
	Index uint64 `json:"index"`
}

func (a *Answer) validate() error {
	switch {
	case a.Op == 0:
		return fmt.Errorf("its number is missing")
	case a.Phase != "" && a.Phase != Absent && a.Phase != Settled && a.Phase != Unsettled:
		return fmt.Errorf("there is no phase %.40q", a.Phase)
	case a.Phase == Settled && (a.Epoch == 0 || a.Member == ""):
		return fmt.Errorf("it is settled without a member or an epoch")
	case len(a.Holders) > listMax:
		return fmt.Errorf("it has %d holders, at most %d are allowed", len(a.Holders), listMax)
	}
	if r := a.Read; r != nil {
		if err := cmp.Or(named("server", r.Server), texts("role", r.Role, "level", r.Level)); err != nil {
			return err
		}
	}
	return texts("reason", a.Reason, "message", a.Message, "member", a.Member, "hash", a.Hash, "digest", a.Digest)
}
