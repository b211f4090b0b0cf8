package api

import (
	"context"
	"testing"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// One placement was made by one request, whatever became of those that it took part in before.
func TestPlacing_Made_IsSaidToOneOfThose(t *testing.T) {
	done := fsm.Result{Verdict: placement.Done, Entry: placement.Entry{Epoch: 7}}
	other := fsm.Result{Verdict: placement.Already, Entry: placement.Entry{Epoch: 9}}
	again := fsm.Result{Verdict: placement.Done, Entry: placement.Entry{Epoch: 9}}
	for _, tt := range []struct {
		name    string
		results []fsm.Result
		settled placement.Entry
		want    bool
	}{
		{"it is the one that was made", []fsm.Result{done}, placement.Entry{Epoch: 7}, true},
		{"the next candidate has it", []fsm.Result{done}, placement.Entry{Epoch: 8, Attempt: 1}, true},
		{"it was removed, and the next candidate for another request's has it", []fsm.Result{done}, placement.Entry{Epoch: 10, Attempt: 1}, false},
		{"the next candidate for another request's has it", []fsm.Result{other}, placement.Entry{Epoch: 10, Attempt: 1}, false},
		{"it was there", []fsm.Result{other}, placement.Entry{Epoch: 9}, false},
		{"it was removed, and another request placed it before anybody looked", []fsm.Result{done}, placement.Entry{Epoch: 9}, false},
		{"it was removed, and another request's was found", []fsm.Result{done, other}, placement.Entry{Epoch: 9}, false},
		{"it was removed, and made again", []fsm.Result{done, again}, placement.Entry{Epoch: 9}, true},
		{"a removal was in the way at first", []fsm.Result{{Verdict: placement.Unsettled}, again}, placement.Entry{Epoch: 9}, true},
		{"a removal was in the way, and another request was first", []fsm.Result{done, {Verdict: placement.Unsettled}}, placement.Entry{Epoch: 9}, false},
	} {
		p := &placing{}
		for _, r := range tt.results {
			if err := p.take(r, nil); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		p.follow(tt.settled, func(from, to placement.Epoch) bool { return to == from+1 })
		if got := p.made(tt.settled); got != tt.want {
			t.Errorf("%s: made is %t, want %t", tt.name, got, tt.want)
		}
	}
}

// "Nothing was changed" is not said of what was carried out, when the leader lost its tenure while it waited for the owner.
func TestPlacing_TenureEndsWhileItWaits_OutcomeIsUnknown(t *testing.T) {
	done := fsm.Result{Verdict: placement.Done, Entry: placement.Entry{Epoch: 7}}
	there := fsm.Result{Verdict: placement.Already, Entry: placement.Entry{Epoch: 9}}
	removed := fsm.Result{Verdict: placement.Unsettled}
	for _, tt := range []struct {
		name    string
		results []fsm.Result
		err     error
		want    apiv1.Reason
	}{
		{"it was placed by the request", []fsm.Result{done}, group.ErrNotLeader, apiv1.ReasonOutcomeUnknown},
		{"it was placed by the request, removed, and is to be placed again", []fsm.Result{done, removed}, group.ErrNotLeader, apiv1.ReasonOutcomeUnknown},
		{"it was placed by the request, and the queue is full", []fsm.Result{done}, group.ErrQueueFull, apiv1.ReasonOutcomeUnknown},
		{"it was placed by the request, and the caller went away", []fsm.Result{done}, context.Canceled, apiv1.ReasonOutcomeUnknown},
		{"it was placed by a former attempt", []fsm.Result{{Verdict: placement.Done, Remembered: true}}, group.ErrNotLeader, apiv1.ReasonOutcomeUnknown},
		{"somebody else had placed it", []fsm.Result{there}, group.ErrNotLeader, apiv1.ReasonNoLeader},
		{"a removal was in the way", []fsm.Result{removed}, group.ErrNotLeader, apiv1.ReasonNoLeader},
		{"nothing was proposed", nil, group.ErrQueueFull, apiv1.ReasonOverloaded},
	} {
		p := &placing{}
		for _, r := range tt.results {
			if err := p.take(r, nil); err != nil {
				t.Fatalf("%s: %v", tt.name, err)
			}
		}
		for what, err := range map[string]error{"proposal": p.take(fsm.Result{}, tt.err), "wait": p.failed(tt.err)} {
			if got, _, _ := apiv1.ReasonOf(err); got != tt.want {
				t.Errorf("%s, and the %s fails: %s, want %s (%v)", tt.name, what, got, tt.want, err)
			}
		}
	}
}
