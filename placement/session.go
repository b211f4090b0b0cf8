package placement

import (
	"fmt"
	"time"
)

// Limits of sessions.
const (
	// SessionTTLMin is the shortest TTL. Not shorter: a failover, in which no lease is renewed, takes about a second, and a
	// session that cannot outlive one round trip to the leader is none.
	SessionTTLMin = time.Second
	// SessionTTLMax is the longest TTL. Not longer: it is how long the locks of a holder that died stay taken.
	SessionTTLMax = 5 * time.Minute
	// SessionHolderBytesMax is the length of the longest name of a holder, in bytes.
	SessionHolderBytesMax = 128
	// SessionOwnerBytesMax is the length of the longest text about who opened a session, in bytes.
	SessionOwnerBytesMax = 255
)

// A SessionID names one session by the epoch of the command that opened it. Zero is none.
type SessionID uint64

// Session is a lease that locks hang on. It is a value that is never changed after it was opened.
type Session struct {
	// ID is what it is called.
	ID SessionID
	// TTL is how long the lease lasts after each keepalive, SessionTTLMin to SessionTTLMax. No leader grants more and none
	// less, so its end can be told from it alone.
	TTL time.Duration
	// Holder is the name of who holds it, for people: 1 to SessionHolderBytesMax bytes of UTF-8 without control characters.
	// Two sessions may have one name.
	Holder string
	// Owner says who opened it, at most SessionOwnerBytesMax bytes of UTF-8 without control characters; it may be empty.
	Owner string
}

// Validate reports the first rule that the session breaks, as a *SessionError; nil when it breaks none. It does not look
// at ID.
func (s *Session) Validate() error {
	if s.TTL < SessionTTLMin || s.TTL > SessionTTLMax {
		return &SessionError{"ttl", fmt.Sprintf("%v: %v to %v is allowed", s.TTL, SessionTTLMin, SessionTTLMax)}
	}
	if rule := textRule("the name", s.Holder, SessionHolderBytesMax); rule != "" {
		return &SessionError{"holder", rule}
	}
	if s.Owner == "" {
		return nil
	}
	if rule := textRule("the text", s.Owner, SessionOwnerBytesMax); rule != "" {
		return &SessionError{"owner", rule}
	}
	return nil
}
