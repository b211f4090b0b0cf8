package lookupclient_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// answer is how a server answers a look-up.
type answer func(context.Context, *apiv1.LookupRequest) (*apiv1.LookupResponse, error)

// teller is a server that answers look-ups as a test says, and notes what it was asked.
type teller struct {
	apiv1.UnimplementedPlacementsServer
	answer answer

	mu     sync.Mutex
	asked  []*apiv1.LookupRequest
	at     time.Time // when it was asked first
	placed int
	takes  time.Duration // Place

	apiv1.UnimplementedClusterServer
	servers func() *apiv1.Servers // where it says that the servers are; nil: it does not say
	stop    func()                // ends it
}

// Discover says where the servers are, as one of the cluster "c".
func (s *teller) Discover(ctx context.Context, _ *apiv1.DiscoverRequest) (*apiv1.DiscoverResponse, error) {
	if s.servers == nil {
		return nil, status.Error(codes.Unimplemented, "it does not say")
	}
	_ = grpc.SetHeader(ctx, metadata.Pairs(apiv1.ClusterHeader, "c"))
	return &apiv1.DiscoverResponse{Servers: s.servers()}, nil
}

// forget has the server answer otherwise from now on, and know of no call.
func (s *teller) forget(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.asked, s.at = a, nil, time.Time{}
}

func (s *teller) Lookup(ctx context.Context, req *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
	s.mu.Lock()
	if len(s.asked) == 0 {
		s.at = time.Now()
	}
	s.asked = append(s.asked, proto.Clone(req).(*apiv1.LookupRequest))
	a := s.answer
	s.mu.Unlock()
	return a(ctx, req)
}

// times is how often the server was asked to look up, and to place.
func (s *teller) times() (asked, placed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked), s.placed
}

// times is the sum of what servers were asked.
func times(servers []*teller) (asked, placed int) {
	for _, s := range servers {
		a, p := s.times()
		asked, placed = asked+a, placed+p
	}
	return asked, placed
}

// Place takes its time, whatever becomes of its caller.
func (s *teller) Place(context.Context, *apiv1.PlaceRequest) (*apiv1.PlaceResponse, error) {
	s.mu.Lock()
	s.placed++
	takes := s.takes
	s.mu.Unlock()
	time.Sleep(takes)
	return &apiv1.PlaceResponse{Placement: &apiv1.Placement{Kind: "cart", Key: "1", Epoch: 1}, Read: &apiv1.Read{}}, nil
}

func found(by string, after time.Duration) answer {
	return func(ctx context.Context, req *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
		select {
		case <-time.After(after):
			return &apiv1.LookupResponse{Placement: &apiv1.Placement{Kind: req.Kind, Key: req.Key, Epoch: 7}, Read: &apiv1.Read{ServedBy: by, Level: apiv1.Level_LEASED}}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func refused(why apiv1.Reason, after time.Duration) answer {
	return func(context.Context, *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
		time.Sleep(after)
		return nil, apiv1.Status(why, "x", nil, 0).Err()
	}
}

// told runs a client of servers that answer as the test says.
func told(t *testing.T, change func(*lookupclient.Config), answers []answer, f func(t *testing.T, c *lookupclient.Client, servers []*teller)) {
	t.Helper()
	toldWith(t, nil, change, answers, f)
}

// toldWith is told of servers that say how they are, unless health is nil.
func toldWith(t *testing.T, health healthpb.HealthServer, change func(*lookupclient.Config), answers []answer, f func(t *testing.T, c *lookupclient.Client, servers []*teller)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := raftnodetest.NewNetwork()
		config := lookupclient.Config{Dial: network.Host("client").Dial}
		var servers []*teller
		for i, answer := range answers {
			host := fmt.Sprint("s", i+1)
			l, err := network.Host(host).Listen(host + ":7420")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			s := &teller{answer: answer, stop: server.Stop}
			apiv1.RegisterPlacementsServer(server, s)
			apiv1.RegisterClusterServer(server, s)
			if health != nil {
				healthpb.RegisterHealthServer(server, health)
			}
			go func() { _ = server.Serve(l) }()
			defer server.Stop()
			servers, config.Servers = append(servers, s), append(config.Servers, host+":7420")
		}
		if change != nil {
			change(&config)
		}
		c, err := lookupclient.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f(t, c, servers)
	})
}

// connectAll has a client connect to all its servers: it does when it is first used, and they are asked in turn.
func connectAll(t *testing.T, c *lookupclient.Client, servers []*teller) {
	t.Helper()
	for range 100 {
		_, _ = c.Lookup(context.Background(), cart(0))
		all := true
		for _, s := range servers {
			asked, _ := s.times()
			all = all && asked > 0
		}
		if all {
			return
		}
		time.Sleep(time.Millisecond) // a connection may be on its way
	}
	t.Fatal("a server was never asked")
}
