package raftnode

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// peerKeepalive is after how long without an answer a server asks another whether it is there; gRPC allows no less.
const peerKeepalive = 10 * time.Second

// peers are the gRPC connections to other servers, over their Raft ports.
type peers struct {
	node *Node
	mu   sync.Mutex
	list map[string]*grpc.ClientConn
	over bool
}

func newPeers(n *Node) *peers { return &peers{node: n, list: map[string]*grpc.ClientConn{}} }

// get returns the connection to a server, which is made when it is first used and again whenever it breaks.
func (p *peers) get(server string) (*grpc.ClientConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return nil, net.ErrClosed
	}
	if c := p.list[server]; c != nil {
		return c, nil
	}
	c, err := grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the port's greeting says who is who
		grpc.WithContextDialer(func(ctx context.Context, server string) (net.Conn, error) { return p.node.port.DialPeer(ctx, server) }),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: time.Second,
		}),
		// A machine that is gone answers nothing, and its connection would be used again and again.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: peerKeepalive, Timeout: 3 * time.Second}),
	)
	if err != nil {
		return nil, err
	}
	p.list[server] = c
	return c, nil
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for _, c := range p.list {
		_ = c.Close()
	}
}
