package raftnode

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"

	"github.com/seed13d31b7f/berth/raftnode/internal/api"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
)

// Limits of the public ports.
const (
	headerBytesMax   = 64 << 10
	streamsMax       = 10_000          // per connection
	handshakeWait    = 5 * time.Second // also how long a connection that says nothing can hold up the end of the server
	httpHeaderWait   = 5 * time.Second
	httpBodyWait     = 30 * time.Second
	httpIdle         = 2 * time.Minute
	httpBodyBytesMax = 4 << 20
	// innerWindow is how much of a stream waits in the gateway for a client that does not read: the least that there is. gRPC
	// would let it grow to 16 MiB for each. innerConnWindow is for all streams together, which take turns.
	innerWindow     = 64 << 10
	innerConnWindow = 1 << 20
)

// serving is what listens for clients and for calls of other servers.
type serving struct {
	node     *Node
	public   *grpc.Server
	peer     *grpc.Server
	web      *http.Server
	inner    *bufconn.Listener // by which the JSON gateway reaches the public server
	gateway  *grpc.ClientConn
	health   *health.Server
	drained  sync.Once
	finished sync.Once
}

// listen opens the public ports and serves them.
func (n *Node) listen() error {
	grpcListener, err := n.config.Seams.Network.Listen(n.config.GRPCAddress)
	if err != nil {
		return listenError("gRPC", n.config.GRPCAddress, err)
	}
	webListener, err := n.config.Seams.Network.Listen(n.config.HTTPAddress)
	if err != nil {
		return errors.Join(listenError("HTTP", n.config.HTTPAddress, err), grpcListener.Close())
	}
	n.grpcAddress = n.config.advertisedFor(n.config.GRPCAddress, grpcListener.Addr())
	n.httpAddress = n.config.advertisedFor(n.config.HTTPAddress, webListener.Addr())
	s := &serving{node: n, inner: bufconn.Listen(1 << 20), health: health.NewServer()}
	s.public = grpc.NewServer(append(n.tracing.server(n.metrics.unary, n.api.Unary),
		grpc.StreamInterceptor(n.api.Stream), grpc.ForceServerCodecV2(api.Codec()), grpc.MaxRecvMsgSize(api.ReceiveBytesMax), grpc.MaxHeaderListSize(headerBytesMax),
		grpc.MaxConcurrentStreams(streamsMax), grpc.ConnectionTimeout(handshakeWait),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)...)
	n.api.Register(s.public)
	healthpb.RegisterHealthServer(s.public, s.health)
	reflection.Register(s.public)
	s.peer = grpc.NewServer(append(n.tracing.server(n.api.UnaryPeer),
		grpc.ForceServerCodecV2(api.Codec()), grpc.MaxRecvMsgSize(api.ReceiveBytesMax), grpc.ConnectionTimeout(handshakeWait),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: peerKeepalive / 2}),
	)...)
	n.api.Register(s.peer)
	peerv1.RegisterPeerServer(s.peer, &peerService{node: n})
	if err := s.openWeb(); err != nil {
		return errors.Join(err, grpcListener.Close(), webListener.Close())
	}
	n.serving = s
	for _, serve := range []func() error{
		func() error { return s.public.Serve(grpcListener) },
		func() error { return s.public.Serve(s.inner) },
		func() error { return s.peer.Serve(n.port.Peer()) },
		func() error { return s.web.Serve(webListener) },
	} {
		n.tasks.Go(func() {
			if err := serve(); err != nil && !errors.Is(err, grpc.ErrServerStopped) && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) && n.ctx.Err() == nil {
				n.stop(err)
			}
		})
	}
	n.tasks.Go(func() { s.reportHealth(n.ctx) })
	return nil
}

// drain takes no new calls and lets those that are being answered finish, while ctx lasts.
func (s *serving) drain(ctx context.Context) {
	if s == nil {
		return
	}
	s.drained.Do(func() {
		s.health.Shutdown()
		done := make(chan struct{})
		go func() {
			_ = s.web.Shutdown(ctx)
			s.public.GracefulStop()
			close(done)
		}()
		select {
		case <-done:
		case <-ctx.Done():
		case <-time.After(drainTimeout):
		}
		s.public.Stop()
		_ = s.web.Close()
		<-done
	})
}

// drainTimeout is how long calls that are being answered hold up a server that stops.
const drainTimeout = 3 * time.Second

// close ends what serves other servers, and the gateway.
func (s *serving) close() {
	if s == nil {
		return
	}
	s.finished.Do(func() {
		s.peer.Stop()
		_ = s.gateway.Close()
		_ = s.inner.Close()
	})
}
