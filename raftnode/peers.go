package raftnode

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
)

// peerKeepalive is after how long without an answer a server asks another whether it is there; gRPC allows no less.
const peerKeepalive = 10 * time.Second

// peerAnswer is how long a server may take to answer what it knows by heart, before the connection to it is taken for dead.
const peerAnswer = time.Second

// peers are the gRPC connections to other servers, over their Raft ports.
//
// What a cut network lost TCP sends again at times that double, so a connection that was in use stays silent for as long
// again after the network has healed. So when a call is not answered soon, the other server is asked for what it knows by
// heart; when that is not answered either, the connection is broken, and gRPC makes another.
type peers struct {
	node  *Node
	tasks sync.WaitGroup
	mu    sync.Mutex
	list  map[string]*peer
	over  bool
}

// peer is the connection to one server.
type peer struct {
	server string
	grpc   *grpc.ClientConn

	mu      sync.Mutex
	conn    net.Conn // the newest
	checked bool     // a check is on its way
}

func newPeers(n *Node) *peers { return &peers{node: n, list: map[string]*peer{}} }

// get returns the connection to a server, which is made when it is first used and again whenever it breaks.
func (p *peers) get(server string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil, net.ErrClosed
	}
	if x := p.list[server]; x != nil {
		return x.grpc, nil
	}
	x := &peer{server: server}
	timing, _ := group.TimingNamed(p.node.config.Timing) // validated
	c, err := grpc.NewClient("passthrough:///"+server, append(p.node.tracing.peer(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the port's greeting says who is who
		grpc.WithContextDialer(func(ctx context.Context, server string) (net.Conn, error) {
			conn, err := p.node.port.DialPeer(ctx, server)
			x.mu.Lock()
			defer x.mu.Unlock()
			if err == nil {
				x.conn = conn
			}
			return conn, err
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond},
			MinConnectTimeout: timing.Election,
		}),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			late := time.AfterFunc(timing.Election, func() { p.check(x) })
			defer late.Stop()
			return call(ctx, method, req, reply, cc, opts...)
		}),
		// A machine that is gone answers nothing, and its connection would be used again and again.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: peerKeepalive, Timeout: 3 * time.Second}),
	)...)
	if err != nil {
		return nil, err
	}
	x.grpc = c
	p.list[server] = x
	return c, nil
}

// check breaks a connection on which nothing is answered.
func (p *peers) check(x *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if p.over || x.checked || x.conn == nil {
		return
	}
	x.checked = true
	conn := x.conn
	p.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(p.node.ctx, peerAnswer)
		defer cancel()
		_, err := peerv1.NewPeerClient(x.grpc).Progress(ctx, &peerv1.ProgressRequest{})
		if status.Code(err) == codes.DeadlineExceeded {
			_ = conn.Close()
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.checked = false
	})
}

func (p *peers) close() {
	p.mu.Lock()
	p.over = true
	for _, x := range p.list {
		_ = x.grpc.Close()
	}
	p.mu.Unlock()
	p.tasks.Wait()
}
