package runner

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

func TestSeen_Next_WhatIsNewIsRecorded(t *testing.T) {
	const second = int64(time.Second)
	status := func(index uint64, left time.Duration) *apiv1.ServerStatusResponse {
		r := &apiv1.ServerStatusResponse{Name: "s1", Role: apiv1.Role_FOLLOWER, Term: 3, Leader: "s2", Index: index}
		if left > 0 {
			r.ReadLease = durationpb.New(left)
		}
		return r
	}
	var last seen
	for i, x := range []struct {
		now        int64
		status     *apiv1.ServerStatusResponse
		isNew      bool
		leaseUntil int64
	}{
		{second, status(7, 0), true, 0},
		{second + 100e6, status(7, 0), false, 0},
		{second + 200e6, status(7, 3*time.Second), true, 4*second + 200e6},               // a lease
		{second + 300e6, status(7, 2910*time.Millisecond), false, 4*second + 210e6},      // the same one
		{second + 400e6, status(7, 3*time.Second), true, 4*second + 400e6},               // the next
		{second + 500e6, status(8, 2900*time.Millisecond), true, 4*second + 400e6},       // an entry
		{second + 600e6, status(8, 2800*time.Millisecond), false, 4*second + 400e6},      // nothing
		{second + 800e6, status(8, 2600*time.Millisecond), true, 4*second + 400e6},       // nothing, for long
		{second + 900e6, status(8, 0), true, 0},                                          // it is over
		{second + 900e6 + int64(sayAgain), status(8, 0), true, 0},                        // nothing, for long
		{second + 900e6 + int64(sayAgain) + int64(sayAgain) - 1, status(8, 0), false, 0}, // shorter
	} {
		s, isNew := last.next(x.now, x.status)
		if isNew != x.isNew || s.LeaseUntil != x.leaseUntil || s.Name != "s1" || s.Role != "follower" || s.Term != 3 || s.Leader != "s2" {
			t.Errorf("%d: %+v, %t", i, s, isNew)
		}
	}
}
