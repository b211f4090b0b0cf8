package group

import (
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
)

// batch is one log entry in flight.
type batch struct {
	tenure *Tenure
	items  []*item
	pulses []*pulseWait
	pulse  Pulse
	data   []byte
	taken  time.Time // off the queue; zero when nothing is traced
}

// seal fixes the batch's data: the barrier and the instant are those of this moment.
func (b *batcher) seal(next *batch) {
	commands := make([][]byte, len(next.items))
	for i, it := range next.items {
		commands[i] = it.command
	}
	v := b.view()
	barrier := next.tenure.Barrier(v)
	next.pulse = Pulse{T0: b.now(), Index: v.Index, Tenure: next.tenure}
	next.data = fsm.AppendEntry(nil, fsm.Batch{Term: next.tenure.Term, Barrier: barrier, Time: uint64(max(0, time.Now().UnixMilli()))}, commands)
}

// carry proposes a batch and tells everybody what became of it.
func (b *batcher) carry(next *batch) {
	future := b.propose(next.data)
	err := future.Error()
	var out *fsm.Output
	if err == nil {
		out, err = outputOf(future.Response())
	}
	if b.tracer != nil {
		next.note(future, err)
	}
	switch {
	case err != nil:
		b.failed(next, err)
	case out.WrongTerm:
		b.refused(next, ErrNotLeader)
		b.lost(next.tenure)
	default:
		b.proved(next.pulse)
		for i, it := range next.items {
			it.call.finish(it.at, Outcome{Result: out.Results[i]})
		}
		for _, w := range next.pulses {
			w.ch <- pulseResult{pulse: next.pulse}
		}
	}
	b.landed()
}

func outputOf(response any) (*fsm.Output, error) {
	switch r := response.(type) {
	case *fsm.Output:
		return r, nil
	case *timedOutput:
		return r.Output, nil
	case error:
		return nil, r
	}
	return nil, errors.New("the state machine gave no answer")
}

// failed tells the fate of a batch whose future failed. Some errors come only from before an entry is made.
func (b *batcher) failed(next *batch, err error) {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		b.refused(next, ErrNotLeader)
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		b.refused(next, ErrNotLeader)
	default:
		unknown := &UnknownError{Term: next.tenure.Term, Err: err}
		for _, it := range next.items {
			it.call.finish(it.at, Outcome{Err: unknown})
		}
		for _, w := range next.pulses {
			w.ch <- pulseResult{err: ErrNotLeader} // a pulse that proved nothing did nothing either
		}
	}
	b.lost(next.tenure)
}

func (b *batcher) refused(next *batch, cause error) {
	for _, it := range next.items {
		it.call.finish(it.at, Outcome{Err: cause})
	}
	for _, w := range next.pulses {
		w.ch <- pulseResult{err: cause}
	}
}
