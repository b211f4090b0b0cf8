package lookupclient_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// scripted is a server whose calls of Place end with one reason after the other; the last one is repeated.
type scripted struct {
	apiv1.UnimplementedPlacementsServer
	reasons []apiv1.Reason
	calls   atomic.Int64
}

func (s *scripted) Place(context.Context, *apiv1.PlaceRequest) (*apiv1.PlaceResponse, error) {
	n := int(s.calls.Add(1))
	return nil, apiv1.Status(s.reasons[min(n, len(s.reasons))-1], "x", nil, 0).Err()
}

// serve runs a client of one scripted server.
func serve(t *testing.T, s *scripted, change func(*lookupclient.Config), f func(t *testing.T, c *lookupclient.Client, s *scripted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := raftnodetest.NewNetwork()
		l, err := network.Host("s1").Listen("s1:7420")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		apiv1.RegisterPlacementsServer(server, s)
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		config := lookupclient.Config{Servers: []string{"s1:7420"}, Dial: network.Host("client").Dial}
		if change != nil {
			change(&config)
		}
		c, err := lookupclient.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c, s)
	})
}

// An outcome that became unknown stays so, whatever the attempts after it come to, unless one of them was decided.
func TestClient_UnknownOutcome_StaysUnknown(t *testing.T) {
	for _, tt := range []struct {
		reasons []apiv1.Reason
		want    error
	}{
		{[]apiv1.Reason{apiv1.ReasonOutcomeUnknown, apiv1.ReasonNoLeader}, lookupclient.ErrUnknown},
		{[]apiv1.Reason{apiv1.ReasonOutcomeUnknown, apiv1.ReasonOverloaded}, lookupclient.ErrUnknown},
		{[]apiv1.Reason{apiv1.ReasonOverloaded, apiv1.ReasonOutcomeUnknown, apiv1.ReasonOverloaded}, lookupclient.ErrUnknown},
		{[]apiv1.Reason{apiv1.ReasonOutcomeUnknown, apiv1.ReasonClusterMismatch}, lookupclient.ErrUnknown},
		{[]apiv1.Reason{apiv1.ReasonNoLeader, apiv1.ReasonClusterMismatch}, lookupclient.ErrClusterMismatch},
		{[]apiv1.Reason{apiv1.ReasonOutcomeUnknown, apiv1.ReasonNoEligibleMember}, lookupclient.ErrNoMember},
		{[]apiv1.Reason{apiv1.ReasonNoLeader, apiv1.ReasonOverloaded}, lookupclient.ErrOverloaded},
	} {
		serve(t, &scripted{reasons: tt.reasons}, func(c *lookupclient.Config) { c.Timeout = 3 * time.Second }, func(t *testing.T, c *lookupclient.Client, _ *scripted) {
			if _, _, err := c.Place(context.Background(), cart(1)); !errors.Is(err, tt.want) {
				t.Errorf("%v: %v, want %v", tt.reasons, err, tt.want)
			}
		})
	}
}

// ending is a server whose calls of Place end with their connection.
type ending struct {
	apiv1.UnimplementedPlacementsServer
	began chan struct{}
}

func (b *ending) Place(ctx context.Context, _ *apiv1.PlaceRequest) (*apiv1.PlaceResponse, error) {
	close(b.began)
	<-ctx.Done()
	return nil, ctx.Err()
}

// The outcome of a call that a server had when it ended is unknown, also when the server had said before that it would end, and
// nobody listens there any more.
func TestClient_ServerEndsWhileItHasTheCall_OutcomeIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := raftnodetest.NewNetwork()
		l, err := network.Host("s1").Listen("s1:7420")
		if err != nil {
			t.Fatal(err)
		}
		b, server := &ending{began: make(chan struct{})}, grpc.NewServer()
		apiv1.RegisterPlacementsServer(server, b)
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		c, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Dial: network.Host("client").Dial, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			<-b.began
			go server.GracefulStop()
			synctest.Wait() // the client has been told
			network.Reset("s1")
		}()
		if _, _, err := c.Place(context.Background(), cart(1)); !errors.Is(err, lookupclient.ErrUnknown) {
			t.Errorf("%v, want %v", err, lookupclient.ErrUnknown)
		}
	})
}
