package contract

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// refusing are locks that are held by those whose names come first, and then free.
type refusing struct {
	apiv1.LocksClient
	holders []string // empty for one that has given the lock up since it was in the way
}

func (r *refusing) AcquireLock(context.Context, *apiv1.AcquireLockRequest, ...grpc.CallOption) (*apiv1.AcquireLockResponse, error) {
	if len(r.holders) == 0 {
		return &apiv1.AcquireLockResponse{Session: 7, Token: 8}, nil
	}
	data := map[string]string{"lock": "x"}
	if r.holders[0] != "" {
		data["holder"] = r.holders[0]
	}
	r.holders = r.holders[1:]
	return nil, &lookupclient.Error{Reason: apiv1.ReasonLockHeld, Metadata: data}
}

func TestStorage_Acquire_OthersAreInTheWay(t *testing.T) {
	for _, tt := range []struct {
		holders []string
		free    bool
	}{
		{nil, true}, {[]string{holderWaits + "k", holderWaits + "k"}, true}, {[]string{"", holderWaits + "k", ""}, true}, {[]string{holderStore + "k"}, false}, {[]string{"", holderStore + "k"}, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &Storage{locks: &refusing{holders: tt.holders}}
			begin := time.Now()
			c, err := s.acquire(t.Context(), "k")
			if (err == nil) != tt.free || tt.free && c != (claim{7, 8}) {
				t.Errorf("held by %q: %v, %v", tt.holders, c, err)
			}
			if took := time.Since(begin); took > passing {
				t.Errorf("held by %q: it took %v", tt.holders, took)
			}
		})
	}
}
