package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
)

// blocks puts members and identities on the block list for a while, in one run of three, from some moment on. Everything else is as it is
// without.
func (p *Plan) blocks(r *rand.Rand, from time.Duration) {
	if r.IntN(3) > 0 {
		return
	}
	for range 2 + r.IntN(3) {
		f := Fault{Kind: Block, At: within(r, from, p.Length), For: within(r, 500*time.Millisecond, 8*time.Second), Hosts: []string{fmt.Sprint("m", r.IntN(p.Members)+1)}}
		if r.IntN(2) == 0 {
			f.Kind, f.Hosts = BlockIdentity, nil
		}
		p.Faults = append(p.Faults, f)
	}
}

// hasBlocks says whether anything is put on the block list.
func (p *Plan) hasBlocks() bool {
	return slices.ContainsFunc(p.Faults, func(f Fault) bool { return f.Kind == Block || f.Kind == BlockIdentity })
}

// block puts a member, or one of the identities in use that are not kept, on the block list, and takes it off when the fault is over. A block
// of an identity asks its owner to stop: the history has it as a removal of which nobody is told when it comes about. Whoever does it is cut off
// from nobody, so that it can be done in time.
func (w *world) block(f Fault) {
	client := w.client("operator")
	defer func() { _ = client.Close() }()
	name := fmt.Sprint("operator-", f.At.Milliseconds())
	subject := ""
	if f.Kind == Block {
		subject = f.Hosts[0]
	} else {
		id := identity(min(time.Duration(w.journal.now()), w.Length-1), kept+w.below(identities-kept))
		subject = id.String()
		op := w.journal.Invoke(history.Call{Client: fmt.Sprint("blocker-", f.At.Milliseconds()), F: history.Remove, Identity: subject})
		defer func() {
			w.journal.Record(history.Event{Unknown: &history.Answer{Op: op, Message: "it was on the block list"}})
		}()
	}
	begin := time.Now()
	w.until(time.Now(), "somebody blocks "+subject, func(ctx context.Context) error {
		return workload.Block(ctx, w.journal, name, client.Conn(), subject, true)
	})
	time.Sleep(time.Until(begin.Add(f.For)))
	w.until(time.Now(), "somebody unblocks "+subject, func(ctx context.Context) error {
		return workload.Block(ctx, w.journal, name, client.Conn(), subject, false)
	})
}
