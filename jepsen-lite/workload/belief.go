package workload

import (
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

const (
	// lookEvery is how often an owner looks whether it is one. Not longer: an overlap that is shorter is not seen. Not
	// shorter: dozens of owners look, on two cores.
	lookEvery = 4 * time.Millisecond
	// reportEvery is how long a hold lasts at most before it is recorded: what an owner that is killed has not said by then
	// is not known.
	reportEvery = 50 * time.Millisecond
)

// belief is the belief of one owner. It is for one goroutine.
//
// Who was asked twice, and was the owner both times, was the owner from the end of the first look to the beginning of the
// second, however long that is: one that has ended does not come back. Nothing else is recorded, so that two holds that overlap
// prove two owners.
type belief struct {
	rec  *history.Recorder
	hold history.Hold // From is zero while there is none
}

// look asks whether it is the owner, and records what that proves.
func (b *belief) look(check func() error) error {
	before := b.rec.Now()
	err := check()
	after := b.rec.Now()
	if err != nil {
		return err
	}
	if b.hold.From == 0 {
		b.hold.From, b.hold.To = after, after // which alone proves nothing: it may have been answered long before
		return nil
	}
	b.hold.To = before
	if b.hold.To-b.hold.From >= int64(reportEvery) {
		b.report()
		b.hold.From = b.hold.To
	}
	return nil
}

// report records the hold so far.
func (b *belief) report() {
	h := b.hold
	b.rec.Record(history.Event{Hold: &h})
}

// end records the end, and why.
func (b *belief) end(why string) {
	if b.hold.From == 0 {
		return
	}
	b.hold.Ended, b.hold.Why = true, why
	b.report()
}
