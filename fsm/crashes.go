package fsm

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// BlockedByCrashes is who wants the blocks of identities that crash again and again.
const BlockedByCrashes = "berth"

// crashesForgottenMax is the number of identities whose crashes are forgotten with one log entry. The others follow with the
// next ones.
const crashesForgottenMax = 256

// crashed counts a crash of an identity that has no owner any more, and keeps it from having one for a while when there were
// several in a row: by a block that ends by itself. A block that is there stays as it is. before is the entry that crashed.
func (m *Machine) crashed(id placement.Identity, before placement.Entry, f placement.Failure) {
	if !f.Code.Crash() {
		return
	}
	v := m.edit.View()
	c, _ := v.Crash(id)
	c.Identity, c.Count, c.Last = cloned(id), min(c.Count, 1<<32-2)+1, v.Time
	m.edit.PutCrash(c)
	pause := placement.CrashBackoffMs(c.Count)
	subject := snapshot.Subject{Identity: c.Identity}
	if _, blocked := v.Block(subject); blocked || pause == 0 {
		return
	}
	on, owner := "", m.edit.Incarnation(before.Owner)
	if owner != nil {
		on = " on " + string(owner.ID)
	}
	b := snapshot.Block{
		Subject: subject, By: BlockedByCrashes, Since: v.Time, Until: v.Time + min(pause, timeMax-v.Time),
		Reason: placement.FitText(fmt.Sprintf("crash %d in a row%s: %v", c.Count, on, f), placement.ReasonBytesMax),
	}
	if m.edit.PutBlock(b) != nil || !m.Observed {
		return // when the block list is full the next crash tries again
	}
	change, failed := &BlockChange{Block: b, Crashes: c.Count}, f
	m.changed(Change{Type: BlockAdded, Block: change})
	m.changed(Change{Type: RetryThrottled, Identity: c.Identity, Before: before, Failed: &failed, Former: owner, Block: change})
}
