package api

import (
	"testing"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
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
		if got := p.made(tt.settled); got != tt.want {
			t.Errorf("%s: made is %t, want %t", tt.name, got, tt.want)
		}
	}
}
