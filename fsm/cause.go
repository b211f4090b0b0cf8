package fsm

import "fmt"

// Cause is the command that made a change, by its number in the log.
type Cause uint16

// NoCause is that of a change that no command made.
const NoCause Cause = 0

// The causes of changes.
const (
	CauseJoin          = Cause(opJoin)
	CauseLeave         = Cause(opLeave)
	CauseExpire        = Cause(opExpire)
	CauseDrain         = Cause(opDrain)
	CausePlace         = Cause(opPlace)
	CauseConfirm       = Cause(opConfirm)
	CauseFail          = Cause(opFail)
	CauseRelease       = Cause(opRelease)
	CauseEvict         = Cause(opEvict)
	CauseBlock         = Cause(opBlock)
	CauseUnblock       = Cause(opUnblock)
	CauseMove          = Cause(opMove)
	CauseOpenSession   = Cause(opOpenSession)
	CauseCloseSession  = Cause(opCloseSession)
	CauseExpireSession = Cause(opExpireSession)
	CauseAcquireLock   = Cause(opAcquireLock)
	CauseReleaseLock   = Cause(opReleaseLock)
	CauseBreakLock     = Cause(opBreakLock)
	CauseEndLockDelay  = Cause(opEndLockDelay)
)

var causes = map[Cause]string{
	NoCause: "none", CauseJoin: "join", CauseLeave: "leave", CauseExpire: "expire", CauseDrain: "drain", CausePlace: "place",
	CauseConfirm: "confirm", CauseFail: "fail", CauseRelease: "release", CauseEvict: "evict", CauseBlock: "block", CauseUnblock: "unblock", CauseMove: "move", CauseOpenSession: "open session",
	CauseCloseSession: "close session", CauseExpireSession: "expire session", CauseAcquireLock: "acquire lock",
	CauseReleaseLock: "release lock", CauseBreakLock: "break lock", CauseEndLockDelay: "end lock-delay",
}

// String is the command in words, lower case.
func (c Cause) String() string {
	if s, ok := causes[c]; ok {
		return s
	}
	return fmt.Sprintf("command %d", uint16(c))
}
