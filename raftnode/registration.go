package raftnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	registerRetry   = 200 * time.Millisecond
	registerLook    = 2 * time.Second
	registerTimeout = 3 * time.Second
	promoteLook     = 200 * time.Millisecond
	// progressPatience is how long a server that is asked how far it is waits for what is on its way: followers learn
	// with the next append that an entry is committed.
	progressPatience = 250 * time.Millisecond
	// promoteBehind is how many entries a server may be behind the leader to be given a vote: what is replicated in a
	// moment.
	promoteBehind = 100
)

// keepRegistered makes the cluster know where this server is, and makes it part of the cluster when it is new.
func (n *Node) keepRegistered() {
	for {
		wait := registerLook
		if g := n.group(); g != nil && !n.registered(g) {
			wait = registerRetry
			if err := n.register(g); err != nil && n.ctx.Err() == nil {
				n.config.Logger.Debug("is not registered yet", "error", err)
			}
		}
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) record() snapshot.Server {
	return snapshot.Server{
		Name: n.config.Name, Incarnation: n.identity().Incarnation, RaftAddress: n.raftAddress, GRPCAddress: n.grpcAddress,
		HTTPAddress: n.httpAddress, FeatureLevel: n.config.Seams.FeatureLevel, Version: n.config.Version,
	}
}

// registered says whether the state has this server as it is, and Raft has it too.
func (n *Node) registered(g *group.Group) bool {
	s, ok := g.View().Server(n.config.Name)
	return ok && s == n.record() && slices.ContainsFunc(g.Servers(), func(x group.Server) bool { return x.Name == n.config.Name })
}

// register asks the leader, which a server that is new does not know: any other passes the request on.
func (n *Node) register(g *group.Group) error {
	ctx, cancel := context.WithTimeout(n.ctx, registerTimeout)
	defer cancel()
	s := n.record()
	req := &peerv1.RegisterRequest{
		Name: s.Name, Incarnation: s.Incarnation, RaftAddress: s.RaftAddress, GrpcAddress: s.GRPCAddress, HttpAddress: s.HTTPAddress,
		FeatureLevel: s.FeatureLevel, Version: s.Version,
	}
	if n.driver() != nil {
		_, err := (&peerService{node: n}).Register(ctx, req)
		return err
	}
	leader, _ := g.Leader()
	last := error(group.ErrNotLeader)
	for _, name := range n.acquaintances(leader) {
		conn, err := n.peers.get(name)
		if err != nil {
			return err
		}
		if _, last = peerv1.NewPeerClient(conn).Register(ctx, req); last == nil {
			return nil
		}
	}
	return last
}

// acquaintances are the servers of the cluster that can be asked, the leader first when it is known.
func (n *Node) acquaintances(leader string) []string {
	var names []string
	if leader != "" && leader != n.config.Name {
		names = append(names, leader)
	}
	for _, s := range n.current() {
		if s.hello.Cluster == n.Cluster() && s.greeting.Server != leader {
			names = append(names, s.greeting.Server)
		}
	}
	return names
}

// peerService answers the other servers.
type peerService struct {
	peerv1.UnimplementedPeerServer
	node *Node
}

// errNoTenure is the answer of a server that does not lead, or cannot prove it.
var errNoTenure = status.Error(codes.Unavailable, "this server does not lead")

// ReadIndex proves this server's tenure.
func (s *peerService) ReadIndex(ctx context.Context, _ *peerv1.ReadIndexRequest) (*peerv1.ReadIndexResponse, error) {
	g := s.node.group()
	if g == nil {
		return nil, status.Error(codes.Unavailable, "no cluster yet")
	}
	p, err := g.Pulse(ctx, 0)
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &peerv1.ReadIndexResponse{Index: p.Index, Term: p.Tenure.Term}, nil
}

// Progress says how far this server is, after it has waited a moment to be as far as asked.
func (s *peerService) Progress(ctx context.Context, req *peerv1.ProgressRequest) (*peerv1.ProgressResponse, error) {
	g := s.node.group()
	if g == nil {
		return nil, status.Error(codes.Unavailable, "no cluster yet")
	}
	patience, cancel := context.WithTimeout(ctx, progressPatience)
	defer cancel()
	v, err := g.AwaitIndex(patience, req.AtLeast)
	if err != nil {
		v = g.View()
	}
	return &peerv1.ProgressResponse{
		Index: v.Index, Term: v.Term, Digest: v.Digest().String(), Version: s.node.config.Version,
		ReadLease: uint64(g.LeaseLeft()),
	}, nil
}

// Register makes a server known and, when it is new, adds it to the group without a vote. A server that does not lead
// passes the request on to the one that does, once.
func (s *peerService) Register(ctx context.Context, req *peerv1.RegisterRequest) (*peerv1.RegisterResponse, error) {
	g := s.node.group()
	if g == nil {
		return nil, status.Error(codes.Unavailable, "no cluster yet")
	}
	if g.Tenure() == nil {
		leader, _ := g.Leader()
		if req.Forwarded || leader == "" || leader == s.node.config.Name {
			return nil, status.Error(codes.Unavailable, "no leader is known")
		}
		conn, err := s.node.peers.get(leader)
		if err != nil {
			return nil, status.Error(codes.Unavailable, err.Error())
		}
		req.Forwarded = true
		return peerv1.NewPeerClient(conn).Register(ctx, req)
	}
	if err := s.node.admit(ctx, g, req); err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	return &peerv1.RegisterResponse{}, nil
}

// admit registers a server, as the leader.
func (n *Node) admit(ctx context.Context, g *group.Group, req *peerv1.RegisterRequest) error {
	done, err := n.changeMembership(ctx)
	if err != nil {
		return err
	}
	defer done()
	c, err := fsm.Encode(fsm.Command{Body: &fsm.RegisterServer{Server: snapshot.Server{
		Name: req.Name, Incarnation: req.Incarnation, RaftAddress: req.RaftAddress, GRPCAddress: req.GrpcAddress, HTTPAddress: req.HttpAddress,
		FeatureLevel: req.FeatureLevel, Version: req.Version,
	}}})
	if err != nil {
		return err
	}
	r, err := g.Propose(ctx, c)
	if err != nil {
		return err
	}
	if !r.Verdict.OK() {
		return fmt.Errorf("server %s: %v", req.Name, r.Verdict)
	}
	if slices.ContainsFunc(g.Servers(), func(x group.Server) bool { return x.Name == req.Name }) {
		return nil
	}
	n.config.Logger.Info("adds a server", "server", req.Name)
	return g.AddServer(ctx, req.Name)
}

// changeMembership waits for the changes of the group that are under way. Each is two entries, Raft's and the state's, and
// another one in between would add again what is being removed.
func (n *Node) changeMembership(ctx context.Context) (done func(), err error) {
	select {
	case n.membership <- struct{}{}:
		return func() { <-n.membership }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// promote gives servers that have caught up a vote, for the length of a tenure.
func (n *Node) promote(ctx context.Context, g *group.Group) {
	for {
		select {
		case <-time.After(promoteLook):
		case <-ctx.Done():
			return
		}
		for _, s := range g.Servers() {
			if s.Voter || !n.caughtUp(ctx, g, s.Name) {
				continue
			}
			if err := n.giveVote(ctx, g, s.Name); err == nil {
				n.config.Logger.Info("gives a server a vote", "server", s.Name)
			}
		}
	}
}

// giveVote makes a server that is still there a voter.
func (n *Node) giveVote(ctx context.Context, g *group.Group, name string) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	done, err := n.changeMembership(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !slices.ContainsFunc(g.Servers(), func(x group.Server) bool { return x.Name == name }) {
		return fmt.Errorf("server %s was removed", name)
	}
	return g.Promote(ctx, name)
}

func (n *Node) caughtUp(ctx context.Context, g *group.Group, name string) bool {
	index, err := n.progress(ctx, name)
	return err == nil && index+promoteBehind >= g.View().Index
}

// progress asks a server how far it is.
func (n *Node) progress(ctx context.Context, name string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	conn, err := n.peers.get(name)
	if err != nil {
		return 0, err
	}
	p, err := peerv1.NewPeerClient(conn).Progress(ctx, &peerv1.ProgressRequest{})
	return p.GetIndex(), err
}

// removeServer takes a server out of the group, and then bars its name.
func (n *Node) removeServer(ctx context.Context, name string) error {
	g := n.group()
	if g == nil {
		return group.ErrNotLeader
	}
	done, err := n.changeMembership(ctx)
	if err != nil {
		return err
	}
	defer done()
	if slices.ContainsFunc(g.Servers(), func(x group.Server) bool { return x.Name == name }) {
		if err := g.RemoveServer(ctx, name); err != nil {
			return err
		}
	}
	c, err := fsm.Encode(fsm.Command{Body: &fsm.RemoveServer{Name: name}})
	if err != nil {
		return err
	}
	r, err := g.Propose(ctx, c)
	if err != nil {
		return err
	}
	if r.Verdict != placement.Done && r.Verdict != placement.Already {
		return errors.New(r.Verdict.String())
	}
	return nil
}
