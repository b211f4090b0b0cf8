package workload

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// oneMember is a cluster in which everything is at one member: that to which it was moved last, once it may move.
type oneMember struct {
	apiv1.PlacementsClient
	at      atomic.Pointer[string]
	mayMove atomic.Bool
}

func (p *oneMember) answer() *apiv1.Placement {
	return &apiv1.Placement{Member: *p.at.Load(), Incarnation: 1, Epoch: 7}
}

func (p *oneMember) Place(context.Context, *apiv1.PlaceRequest, ...grpc.CallOption) (*apiv1.PlaceResponse, error) {
	return &apiv1.PlaceResponse{Placement: p.answer()}, nil
}

func (p *oneMember) Move(_ context.Context, r *apiv1.MoveRequest, _ ...grpc.CallOption) (*apiv1.MoveResponse, error) {
	if p.mayMove.Load() {
		p.at.Store(&r.To)
	} else {
		time.Sleep(r.Wait.AsDuration())
	}
	return &apiv1.MoveResponse{Done: p.mayMove.Load(), Placement: p.answer()}, nil
}

func TestKept_EachMemberOwnsWhatIsKeptThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := history.NewRecorder(io.Discard, func() int64 { return 0 })
		w := NewClients(ClientsConfig{Count: 1, Members: []string{"m1", "m2"}, Kind: "room", Identities: 1, Every: time.Second, Recorder: r})
		ctx, cancel := context.WithCancel(t.Context())
		fakes := map[string]*oneMember{}
		for i, m := range w.config.Members {
			fakes[m] = &oneMember{}
			fakes[m].at.Store(&w.config.Members[0])
			a := &asker{Clients: w, name: "k-" + m, api: fakes[m], seen: map[string]uint64{}, rng: w.random(i)}
			go a.keep(ctx, m)
		}
		time.Sleep(10 * time.Second)
		if w.Kept() {
			t.Error("what is kept at m2 is at m1")
		}
		fakes["m2"].mayMove.Store(true)
		time.Sleep(10 * time.Second)
		if !w.Kept() {
			t.Error("each has what is kept there")
		}
		cancel()
		time.Sleep(10 * time.Second)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
