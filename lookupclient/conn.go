package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Conn is a connection to a cluster: a grpc.ClientConnInterface whose calls go to any server that is there, are tried
// again as long as that is safe and the context lasts, and fail with an *Error. A change is given a request id, so that
// it is carried out once however often it is asked for.
type Conn struct {
	config  Config
	cc      *grpc.ClientConn
	dials   dials
	tracing *tracing

	followed  *followed
	links     *links
	distances *distances
	hedges    hedges
	probes    *probes
	warnings  *warnings

	closed atomic.Bool

	mu      sync.Mutex
	index   uint64 // the newest log index that an answer showed
	cluster string // the cluster that this is a connection to; empty until it is known
}

// dials remembers what became of the last try to reach each address, for the error when none can be reached.
type dials struct {
	mu   sync.Mutex
	errs map[string]error
}

func (d *dials) note(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errs[address] = err
}

// forget drops what is not of the given addresses.
func (d *dials) forget(but []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.errs, func(address string, _ error) bool { return !slices.Contains(but, address) })
}

// failed says whether the last try to reach an address failed.
func (d *dials) failed(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.errs[address] != nil
}

// describe says of each address what happened there.
func (d *dials) describe(servers []string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var parts []string
	for _, s := range servers {
		switch err, tried := d.errs[s]; {
		case !tried:
			parts = append(parts, s+": not tried")
		case err == nil:
			parts = append(parts, s+": connected")
		default:
			parts = append(parts, s+": "+plainDialError(err))
		}
	}
	return strings.Join(parts, "; ")
}

// plainDialError tells a name that is not found from a port where nobody listens, and from a host that does not answer.
func plainDialError(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "the host name is not found"
	case strings.Contains(err.Error(), "connection refused"):
		return "connection refused: nobody listens there"
	case errors.Is(err, context.DeadlineExceeded), strings.Contains(err.Error(), "i/o timeout"):
		return "no answer"
	}
	return err.Error()
}

func newConn(c Config) (*Conn, error) {
	conn := &Conn{config: c, cluster: c.Cluster, dials: dials{errs: map[string]error{}}, followed: newFollowed(c),
		links: newLinks(), distances: newDistances(), probes: newProbes(), warnings: newWarnings(c.Logger), tracing: newTracing(c.TracerProvider)}
	r := manual.NewBuilderWithScheme("berth")
	r.InitialState(conn.followed.resolved())
	conn.followed.ask = conn.askServers
	conn.followed.tell = func() {
		conn.forget(conn.followed.all())
		r.UpdateState(conn.followed.resolved())
	}
	cc, err := grpc.NewClient("berth:///servers", append(conn.dialOptions(conn.links), grpc.WithResolvers(r),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"`+balancerName+`":{}}]}`))...)
	if err != nil {
		return nil, err
	}
	conn.cc = cc
	return conn, nil
}

// dial connects to a server, and remembers what became of it.
func (c *Conn) dial(ctx context.Context, address string) (conn net.Conn, err error) {
	if c.config.Dial != nil {
		conn, err = c.config.Dial(ctx, address)
	} else {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "tcp", address)
	}
	c.dials.note(address, err)
	return conn, err
}

// answering are those of some servers that can be connected to, in their order. All are tried at once, since one whose machine vanished is
// waited for, and when one is there the others are not waited for any more.
func (c *Conn) answering(ctx context.Context, servers []string) (list []string) {
	ctx, cancel := context.WithTimeout(ctx, answeringTimeout)
	defer cancel()
	there := make([]bool, len(servers))
	var tasks sync.WaitGroup
	for i, address := range servers {
		tasks.Go(func() {
			conn, err := c.dial(ctx, address)
			if err != nil {
				return
			}
			there[i] = true
			_ = conn.Close()
			time.AfterFunc(answeringMore, cancel)
		})
	}
	tasks.Wait()
	for i, address := range servers {
		if there[i] {
			list = append(list, address)
		}
	}
	return list
}

const (
	// answeringTimeout bounds that: half of sessionTimeout, within which a connection is made and used.
	answeringTimeout = sessionTimeout / 2
	// answeringMore is how much longer than the first to answer another may take.
	answeringMore = 200 * time.Millisecond
)

// dialOptions are the same for the connection to all and for those to one server.
func (c *Conn) dialOptions(links *links) []grpc.DialOption {
	params := grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
		Backoff: grpcbackoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
	return append(c.tracing.dialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := c.dial(ctx, address)
			if err == nil {
				links.add(address, conn)
			}
			return conn, err
		}),
		grpc.WithConnectParams(params),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDisableServiceConfig(),
	)
}

// forget drops what is known of servers that are not of the given ones.
func (c *Conn) forget(but []string) {
	c.dials.forget(but)
	c.links.forget(but)
	c.distances.forget(but)
}

// one returns a connection to one server alone. The caller breaks its links, and closes it.
func (c *Conn) one(address string) (*grpc.ClientConn, *links, error) {
	links := newLinks()
	conn, err := grpc.NewClient("passthrough:///"+address, c.dialOptions(links)...)
	return conn, links, err
}

// classify gives an error its form. When no server could be reached, nothing was sent, and the error names each address.
func (c *Conn) classify(ctx context.Context, err error, changes bool) *Error {
	unreachable := status.Code(err) == codes.Unavailable && c.cc.GetState() != connectivity.Ready && !sent(err)
	var e *Error
	if r, _, _ := apiv1.ReasonOf(err); err == errStrange || r == "" && (unreachable || ctx.Err() != nil && c.cc.GetState() != connectivity.Ready && !sent(err)) {
		return &Error{Reason: apiv1.ReasonUnreachable, Message: "no server could be reached: " + c.dials.describe(c.followed.all()), err: err}
	}
	errors.As(errorOf(err, changes), &e)
	return e
}

func (c *Conn) knownIndex() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index
}

// saw notes the log index of an answer.
func (c *Conn) saw(reply any) {
	a, ok := reply.(answered)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = max(c.index, a.GetRead().GetIndex())
}

// NewStream opens a stream, which is not tried again. What ends it, but for io.EOF, is an *Error.
func (c *Conn) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	r := &route{}
	s, err := c.cc.NewStream(c.expecting(r.with(ctx)), d, method, append(opts, grpc.WaitForReady(false))...)
	if err != nil {
		return nil, c.streamError(ctx, r.failed(err))
	}
	return &stream{ClientStream: s, conn: c, route: r}, nil
}

// streamError gives the error of a stream its form.
func (c *Conn) streamError(ctx context.Context, err error) error {
	if c.closed.Load() {
		return errClientClosed
	}
	return c.classify(ctx, err, false)
}

// stream is a stream whose errors are those of this package.
type stream struct {
	grpc.ClientStream
	conn       *Conn
	route      *route
	introduced bool
}

// RecvMsg receives a message.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && !s.introduced {
		s.introduced = true
		_, err = s.conn.heardOn(s.ClientStream)
	}
	if err == nil {
		s.conn.followed.used()
	}
	if err == nil || err == io.EOF {
		return err
	}
	return s.conn.streamError(s.Context(), s.conn.ours(s.route.server(), s.route.failed(err)))
}

// Cluster is the id of the cluster that this is a connection to: Config.Cluster, or the one that answered first; empty
// before any has.
func (c *Conn) Cluster() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cluster
}

// expecting says in a call which cluster it is for, when that is known.
func (c *Conn) expecting(ctx context.Context) context.Context {
	if cluster := c.Cluster(); cluster != "" {
		return metadata.AppendToOutgoingContext(ctx, apiv1.ClusterHeader, cluster)
	}
	return ctx
}

// heard takes in which cluster has answered; own says that it is the one that this connection is to. Two calls that were
// sent before any was known may reach two of them: the first that answers is the one, and the other's answer is an error.
func (c *Conn) heard(header metadata.MD) (own bool, err error) {
	values := header.Get(apiv1.ClusterHeader)
	if len(values) == 0 {
		return false, nil // a server without a cluster
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cluster == "" {
		c.cluster = values[0]
	}
	if c.cluster == values[0] {
		return true, nil
	}
	return false, &Error{
		Reason: apiv1.ReasonClusterMismatch, Message: fmt.Sprintf("the answer is of cluster %s, and this client is of %s", values[0], c.cluster),
		Metadata: map[string]string{"cluster": values[0]},
	}
}

// ours gives the error of a call at a server its form, when that was learned and is of another cluster: it is asked no more, and the
// call was not made. Whoever is given a wrong address is to know; who has learned it cannot help it.
func (c *Conn) ours(server string, err error) error {
	if r, _, _ := apiv1.ReasonOf(err); r != apiv1.ReasonClusterMismatch || !c.followed.leave(server) {
		return err
	}
	c.dials.note(server, errAnother)
	return errStrange
}

var errAnother = errors.New("another cluster answers there")

// errStrange is what a call fails with that reached another cluster at an address that was learned.
var errStrange = status.Error(codes.Unavailable, errAnother.Error())

// heardOn takes in which cluster answers on a stream, after its first message.
func (c *Conn) heardOn(s grpc.ClientStream) (own bool, err error) {
	header, err := s.Header()
	if err != nil {
		return false, err
	}
	return c.heard(header)
}

// Close closes the connection. Calls that are on their way end: those that may have been sent and change something with
// ErrUnknown, all others with ErrClosed, as do later ones.
func (c *Conn) Close() error {
	c.closed.Store(true)
	c.links.breakAll()
	c.probes.close()
	c.followed.close()
	if err := c.cc.Close(); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}
