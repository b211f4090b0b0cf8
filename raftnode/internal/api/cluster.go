package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// progressTimeout is how long a server may take to say how far it is before it counts as unreachable.
	progressTimeout = time.Second
	quorumTimeout   = 500 * time.Millisecond
)

// Status says how the cluster is.
func (s *Server) Status(ctx context.Context, _ *apiv1.StatusRequest) (*apiv1.StatusResponse, error) {
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	settled, pending := v.Count()
	resp := &apiv1.StatusResponse{
		Cluster: s.backend.Cluster(), Leader: s.backend.Self().Name, Term: t.driver.Tenure().Term,
		Settled: uint64(settled), Pending: uint64(pending), Servers: s.servers(ctx, t.group, v), Read: s.proof(ctx, v),
		Sessions: uint64(v.SessionCount()), Locks: uint64(v.LockCount()), Hold: holdMessage(t.group, v),
	}
	for m := range v.Members() {
		switch m.State {
		case placement.MemberLive:
			resp.MembersLive++
		case placement.MemberDraining:
			resp.MembersDraining++
		}
	}
	resp.Healthy, resp.Problems = judge(resp.Servers, t.group.Servers())
	return resp, nil
}

// servers asks every server how far it is, all at once.
func (s *Server) servers(ctx context.Context, g *group.Group, v *snapshot.View) []*apiv1.ServerInfo {
	var list []*apiv1.ServerInfo
	var tasks sync.WaitGroup
	for _, x := range g.Servers() {
		info := &apiv1.ServerInfo{Name: x.Name, Role: apiv1.Role_FOLLOWER}
		if !x.Voter {
			info.Role = apiv1.Role_NONVOTER
		}
		if r, ok := v.Server(x.Name); ok {
			info.GrpcAddress, info.HttpAddress, info.RaftAddress, info.Version = r.GRPCAddress, r.HTTPAddress, r.RaftAddress, r.Version
		}
		list = append(list, info)
		if x.Name == s.backend.Self().Name {
			info.Role, info.Reachable, info.Index, info.Digest = apiv1.Role_LEADER, true, v.Index, v.Digest().String()
			info.ReadLease = leaseMessage(g.LeaseLeft())
			continue
		}
		tasks.Go(func() { s.askProgress(ctx, info, v.Index) })
	}
	tasks.Wait()
	slices.SortFunc(list, func(a, b *apiv1.ServerInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func (s *Server) askProgress(ctx context.Context, info *apiv1.ServerInfo, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	conn, err := s.backend.Peer(info.Name)
	if err != nil {
		return
	}
	p, err := peerv1.NewPeerClient(conn).Progress(ctx, &peerv1.ProgressRequest{AtLeast: index})
	if err != nil {
		return
	}
	info.Reachable, info.Index, info.Digest, info.Version = true, p.Index, p.Digest, p.Version
	info.Behind = index - min(index, p.Index)
	info.ReadLease = leaseMessage(time.Duration(p.ReadLease))
}

// judge says whether a majority answers, and what is wrong.
func judge(list []*apiv1.ServerInfo, servers []group.Server) (healthy bool, problems []string) {
	voters, up := 0, 0
	for _, x := range servers {
		if x.Voter {
			voters++
		}
	}
	digests := map[uint64]*apiv1.ServerInfo{}
	for _, x := range list {
		if !x.Reachable {
			problems = append(problems, fmt.Sprintf("%s does not answer the leader", x.Name))
			continue
		}
		if x.Role != apiv1.Role_NONVOTER {
			up++
		}
		if other := digests[x.Index]; other != nil && other.Digest != x.Digest {
			problems = append(problems, fmt.Sprintf("%s and %s have different states at index %d: %s and %s", other.Name, x.Name, x.Index, other.Digest, x.Digest))
		}
		digests[x.Index] = x
	}
	return up > voters/2, problems
}

// ServerStatus says how this server is.
func (s *Server) ServerStatus(context.Context, *apiv1.ServerStatusRequest) (*apiv1.ServerStatusResponse, error) {
	self := s.backend.Self()
	resp := &apiv1.ServerStatusResponse{
		Name: self.Name, Incarnation: self.Incarnation, Cluster: s.backend.Cluster(), Role: s.role(), Version: self.Version,
		Started: timestamppb.New(self.Started), GrpcAddress: self.GRPCAddress, HttpAddress: self.HTTPAddress, RaftAddress: self.RaftAddress,
	}
	if g := s.backend.Group(); g != nil {
		v := g.View()
		resp.Leader, resp.Term = g.Leader()
		leading(resp, g.Tenure())
		resp.Index, resp.Barrier, resp.Digest = v.Index, v.Barrier, v.Digest().String()
		if age, ok := g.Age(v); ok {
			resp.Age = durationpb.New(age)
		}
		if left := g.LeaseLeft(); left > 0 {
			l := g.ReadLease()
			resp.ReadLease, resp.Floor, resp.GrantedBy, resp.GrantedTerm = leaseMessage(left), l.Floor, l.By, l.Term
		}
	}
	return resp, nil
}

// leading makes a status that of the leader of a tenure, or of no leader when there is none: Raft may know already of a later term
// when the tenure is not known to be over yet, and nobody else may be taken for the leader of that.
func leading(resp *apiv1.ServerStatusResponse, t *group.Tenure) {
	switch {
	case t != nil:
		resp.Role, resp.Leader, resp.Term = apiv1.Role_LEADER, resp.Name, t.Term
	case resp.Role == apiv1.Role_LEADER: // it ended just now
		resp.Role = apiv1.Role_FOLLOWER
	}
}

// leaseMessage is nil for a lease that is over.
func leaseMessage(left time.Duration) *durationpb.Duration {
	if left <= 0 {
		return nil
	}
	return durationpb.New(left)
}

// RemoveServer takes a server out of the cluster.
func (s *Server) RemoveServer(ctx context.Context, req *apiv1.RemoveServerRequest) (*apiv1.RemoveServerResponse, error) {
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	_, registered := t.group.View().Server(req.Name)
	if !registered && !slices.ContainsFunc(t.group.Servers(), func(x group.Server) bool { return x.Name == req.Name }) {
		return nil, invalid("there is no server %.80q", req.Name)
	}
	if req.Name == s.backend.Self().Name {
		if _, err := s.backend.Transfer(ctx, ""); err != nil {
			return nil, invalid("%s leads and cannot hand over: %v", req.Name, err)
		}
		return nil, outcomeError(group.ErrNotLeader) // the next leader removes it
	}
	if err := s.backend.RemoveServer(ctx, req.Name); err != nil {
		return nil, outcomeError(err)
	}
	return &apiv1.RemoveServerResponse{Read: s.proof(ctx, t.group.View())}, nil
}

// TransferLeadership hands the leadership over.
func (s *Server) TransferLeadership(ctx context.Context, req *apiv1.TransferLeadershipRequest) (*apiv1.TransferLeadershipResponse, error) {
	if _, err := s.tenure(); err != nil {
		return nil, err
	}
	to, err := s.backend.Transfer(ctx, req.To)
	if err != nil {
		if errors.Is(err, group.ErrNotLeader) {
			return nil, outcomeError(err)
		}
		return nil, invalid("%v", err)
	}
	return &apiv1.TransferLeadershipResponse{Leader: to}, nil
}

// View returns a view that has everything that was acknowledged before the call, within the time that a call has. The
// error is that of a call.
func (s *Server) View(ctx context.Context) (*snapshot.View, error) {
	ctx, cancel := budget(ctx, budgetMargin)
	defer cancel()
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	return v, nil
}

// Save streams a snapshot of this server's state.
func (s *Server) Save(_ *apiv1.SaveRequest, stream grpc.ServerStreamingServer[apiv1.SaveResponse]) error {
	v, err := s.View(stream.Context())
	if err != nil {
		return err
	}
	w := &saveWriter{stream: stream}
	if err := v.Encode(w); err != nil {
		return asStatus(err)
	}
	return asStatus(w.flush())
}

// saveWriter cuts bytes into messages.
type saveWriter struct {
	stream grpc.ServerStreamingServer[apiv1.SaveResponse]
	buf    []byte
}

const saveChunk = 256 << 10

// Write implements io.Writer.
func (w *saveWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take := min(len(b), saveChunk-len(w.buf))
		w.buf, b = append(w.buf, b[:take]...), b[take:]
		if len(w.buf) == saveChunk {
			if err := w.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

func (w *saveWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	err := w.stream.Send(&apiv1.SaveResponse{Data: w.buf})
	w.buf = nil
	return err
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
