package api

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Limits of requests.
const (
	// BatchMax is the number of identities in one batch.
	BatchMax = 1000
	// budgetDefault is how long a call may take when its caller gives no deadline, and budgetMax at most.
	budgetDefault = 10 * time.Second
	budgetMax     = 60 * time.Second
	// answerMargin is what is left of the caller's deadline for the answer, which says why, to arrive.
	answerMargin = 50 * time.Millisecond
	// budgetMargin is what is left when a server gives up that waited for a leader: it then finds out whether a majority is
	// missing, and answers.
	budgetMargin = quorumTimeout + 2*answerMargin
)

// Server serves the API of one server.
type Server struct {
	apiv1.UnimplementedPlacementsServer
	apiv1.UnimplementedMembersServer
	apiv1.UnimplementedKindsServer
	apiv1.UnimplementedSessionsServer
	apiv1.UnimplementedLocksServer
	apiv1.UnimplementedBlocksServer
	apiv1.UnimplementedClusterServer
	apiv1.UnimplementedSnapshotsServer

	backend  Backend
	tracer   trace.Tracer // nil: nothing is traced
	pins     pins
	watching *watching

	// stopping is closed when the server stops: sessions end, and so do the streams of events.
	stopping chan struct{}
	stopOnce sync.Once
}

// New returns the API of a server. The tracer makes the spans of what calls wait for; nil: none.
func New(b Backend, t trace.Tracer) *Server {
	return &Server{backend: b, tracer: t, watching: newWatching(), stopping: make(chan struct{})}
}

// Stop ends the sessions of members and the streams of those who watch, who go to another server, and lets go of the views of
// lists.
func (s *Server) Stop() {
	s.stopOnce.Do(func() { close(s.stopping) })
	s.pins.close()
}

// Register adds the services to a gRPC server, which has the Codec and lets messages of
// ReceiveBytesMax in.
func (s *Server) Register(to grpc.ServiceRegistrar) {
	g := registrar{to}
	apiv1.RegisterPlacementsServer(g, s)
	apiv1.RegisterMembersServer(g, s)
	apiv1.RegisterKindsServer(g, s)
	apiv1.RegisterSessionsServer(g, s)
	apiv1.RegisterLocksServer(g, s)
	apiv1.RegisterBlocksServer(g, s)
	apiv1.RegisterClusterServer(g, s)
	apiv1.RegisterSnapshotsServer(g, s)
}

// role is the server's part in the group.
func (s *Server) role() apiv1.Role_Name {
	g := s.backend.Group()
	if g == nil {
		return apiv1.Role_FORMING
	}
	if g.Tenure() != nil {
		return apiv1.Role_LEADER
	}
	for _, x := range g.Servers() {
		if x.Name == s.backend.Self().Name && !x.Voter {
			return apiv1.Role_NONVOTER
		}
	}
	return apiv1.Role_FOLLOWER
}

// proof is what an answer says of itself.
func (s *Server) proof(ctx context.Context, v *snapshot.View) *apiv1.Read {
	return &apiv1.Read{
		ServedBy: s.backend.Self().Name, Role: s.role(), Level: apiv1.Level_LEADER, Term: v.Term, Index: v.Index, ForwardedBy: forwardedBy(ctx),
	}
}

// group returns the group, or the error for a server that has none.
func (s *Server) group() (*group.Group, error) {
	g := s.backend.Group()
	if g == nil && s.backend.Cluster() != "" {
		return nil, fail(apiv1.ReasonNoLeader, nil, "the server does not take part in its cluster yet: it opens its state or, when it was restored, waits for the former cluster's leases to be over")
	}
	if g == nil {
		return nil, fail(apiv1.ReasonNoLeader, nil, "the server does not belong to a cluster yet: it looks for the others")
	}
	return g, nil
}
