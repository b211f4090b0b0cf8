package lookupclient

import (
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Pauses grow up to a limit, are longer for a cluster that is overloaded, keep to what a server asks for, and are drawn.
func TestPauses_GrowAndAreDrawn(t *testing.T) {
	for _, x := range []struct {
		e           *Error
		first, last time.Duration // in the middle
		least       time.Duration
	}{
		{&Error{Reason: apiv1.ReasonUnreachable}, pauseFirst, pauseMax, pauseFirst / 2},
		{&Error{Reason: apiv1.ReasonUnsettled}, pauseFirst, pauseMax, pauseFirst / 2},
		{&Error{Reason: apiv1.ReasonOverloaded}, overloadedFirst, overloadedMax, overloadedFirst / 2},
		{&Error{Reason: apiv1.ReasonNoLeader, RetryAfter: 200 * time.Millisecond}, 200 * time.Millisecond, pauseMax, 150 * time.Millisecond},
		{&Error{Reason: apiv1.ReasonNoLeader, RetryAfter: time.Hour}, askedMax, pauseMax, askedMax * 3 / 4},
	} {
		const many = 2000
		var first, last time.Duration
		seen := map[time.Duration]bool{}
		for range many {
			p := newPauses()
			d := p.next(x.e)
			seen[d] = true
			if first += d; d < x.least {
				t.Fatalf("%v: %v", x.e.Reason, d)
			}
			for range 30 {
				d = p.next(x.e)
			}
			if last += d; d > x.last*3/2+1 {
				t.Fatalf("%v: %v", x.e.Reason, d)
			}
		}
		if first /= many; first < x.first*9/10 || first > x.first*11/10 {
			t.Errorf("%v: first %v, want about %v", x.e.Reason, first, x.first)
		}
		if last /= many; last < x.last*9/10 || last > x.last*11/10 {
			t.Errorf("%v: last %v, want about %v", x.e.Reason, last, x.last)
		}
		if len(seen) < many/2 {
			t.Errorf("%v: %d different pauses of %d", x.e.Reason, len(seen), many)
		}
	}
}
