package placement

import (
	"errors"
	"fmt"
)

// Refusals of the contracts (Locker, Storage, Activator), for errors.Is. Nothing was changed.
var (
	// ErrNotGranted: another has the lock, or the identity is activated.
	ErrNotGranted = errors.New("lock not granted")
	// ErrLockNotFound: the lock is over, was used, or never was.
	ErrLockNotFound = errors.New("no such lock")
	// ErrMemberBarred: the member was removed.
	ErrMemberBarred = errors.New("member was removed")
	// ErrNoHost: no member activates the identity.
	ErrNoHost = errors.New("no member activates the identity")
)

// IdentityError says why a text is not an identity.
type IdentityError struct {
	// Text is what was read. It is untrusted: quote it before it reaches a terminal.
	Text string
	// Rule is the rule that Text breaks, a clause without a capital or a stop.
	Rule string
}

// Error quotes the text, cut to 80 bytes, and names the rule.
func (e *IdentityError) Error() string { return fmt.Sprintf("identity %s: %s", quoted(e.Text), e.Rule) }

// MemberError says why a member's description is refused.
type MemberError struct {
	// Member is the member's name as given, untrusted.
	Member string
	// Field is the field of Member that breaks the rule, in lower case.
	Field string
	// Rule is the rule that is broken, a clause without a capital or a stop.
	Rule string
}

// Error names the member, the field and the rule.
func (e *MemberError) Error() string {
	return fmt.Sprintf("member %s: %s: %s", quoted(e.Member), e.Field, e.Rule)
}

// KindError says why the settings of a kind are refused.
type KindError struct {
	// Field is the setting that breaks the rule, in lower case.
	Field string
	// Rule is the rule that is broken, a clause without a capital or a stop.
	Rule string
}

// Error names the setting and the rule.
func (e *KindError) Error() string { return e.Field + ": " + e.Rule }

// SessionError says why a session is refused.
type SessionError struct {
	// Field is the field of Session that breaks the rule, in lower case.
	Field string
	// Rule is the rule that is broken, a clause without a capital or a stop.
	Rule string
}

// Error names the field and the rule.
func (e *SessionError) Error() string { return "session: " + e.Field + ": " + e.Rule }

// LockError says why a lock, or a claim to one, is refused.
type LockError struct {
	// Field is what breaks the rule, in lower case.
	Field string
	// Rule is the rule that is broken, a clause without a capital or a stop.
	Rule string
}

// Error names the field and the rule.
func (e *LockError) Error() string { return "lock: " + e.Field + ": " + e.Rule }

func quoted(s string) string {
	const shown = 80
	if len(s) > shown {
		return fmt.Sprintf("%q…", s[:shown])
	}
	return fmt.Sprintf("%q", s)
}
