package lookupclient

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A call that failed was sent as soon as a connection has taken one attempt, or one attempt is not over: gRPC tells of each that is.
func TestRoute_Failed_IsUnsentWhenNoConnectionHasTakenIt(t *testing.T) {
	failed := status.Error(codes.Unavailable, "it broke")
	for name, test := range map[string]struct {
		ends []bool // of each attempt that is over, whether a connection has taken it
		open int    // attempts that are not
		sent bool
	}{
		"no connection was chosen":                    {},
		"the one that was chosen has not taken it":    {ends: []bool{false}},
		"none of several has":                         {ends: []bool{false, false, false}},
		"it has":                                      {ends: []bool{true}, sent: true},
		"it was asked for again, and nobody took it":  {ends: []bool{true, false}, sent: true},
		"nobody took it, and it was asked for again":  {ends: []bool{false, true}, sent: true},
		"the one that was chosen has not said so yet": {open: 1, sent: true},
		"the second has not":                          {ends: []bool{false}, open: 1, sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := &picker{servers: []readyServer{{nil, "s1"}}}, &route{}
			for i := range len(test.ends) + test.open {
				result, err := p.Pick(balancer.PickInfo{Ctx: r.with(context.Background())})
				if err != nil {
					t.Fatal(err)
				}
				if i < len(test.ends) {
					result.Done(balancer.DoneInfo{Err: failed, BytesSent: test.ends[i]})
				}
			}
			err := r.failed(failed)
			if sent(err) != test.sent {
				t.Errorf("sent %t, want %t", sent(err), test.sent)
			}
			if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "it broke" || !errors.Is(err, failed) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if err := (&route{}).failed(nil); err != nil {
		t.Errorf("no error: %v", err)
	}
}
