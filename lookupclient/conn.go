package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	conn := &Conn{config: c, cluster: c.Cluster, dials: dials{errs: map[string]error{}}, tracing: newTracing(c.TracerProvider)}
	r := manual.NewBuilderWithScheme("berth")
	var state resolver.State
	for _, s := range c.Servers {
		state.Addresses = append(state.Addresses, resolver.Address{Addr: s})
	}
	r.InitialState(state)
	cc, err := grpc.NewClient("berth:///servers", append(conn.dialOptions(), grpc.WithResolvers(r),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))...)
	if err != nil {
		return nil, err
	}
	conn.cc = cc
	return conn, nil
}

// dialOptions are the same for the connection to all and for those to one server.
func (c *Conn) dialOptions() []grpc.DialOption {
	dial := c.config.Dial
	if dial == nil {
		var d net.Dialer
		dial = func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) }
	}
	params := grpc.ConnectParams{MinConnectTimeout: 2 * time.Second,
		Backoff: grpcbackoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
	return append(c.tracing.dialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			c.dials.note(address, err)
			return conn, err
		}),
		grpc.WithConnectParams(params),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Second, Timeout: 3 * time.Second}),
		grpc.WithDisableServiceConfig(),
	)
}

// one returns a connection to one server alone, which the caller closes.
func (c *Conn) one(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, c.dialOptions()...)
}

// retried is a request whose change may be asked for again.
type retried interface {
	proto.Message
	GetRetry() *apiv1.Retry
}

// answered is a response that shows a log index.
type answered interface{ GetRead() *apiv1.Read }

// changing are the calls that change something and carry no request id.
var changing = map[string]bool{
	apiv1.Cluster_RemoveServer_FullMethodName:       true,
	apiv1.Cluster_TransferLeadership_FullMethodName: true,
}

// Invoke makes a unary call. A Retry in the request without an id is filled in.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if c.tracing == nil {
		return c.invoke(ctx, method, args, reply, opts...)
	}
	return c.tracing.call(ctx, method, args, reply, func(ctx context.Context) error { return c.invoke(ctx, method, args, reply, opts...) })
}

func (c *Conn) invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.config.Timeout)
		defer cancel()
	}
	req, safe := args.(retried)
	if safe {
		c.name(req)
	}
	changes := safe || changing[method]
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, 500*time.Millisecond
	var last *Error
	var away time.Time // since when no server could be reached
	for {
		if c.closed.Load() {
			return fmt.Errorf("client: %w", ErrClosed)
		}
		var header metadata.MD
		err := c.cc.Invoke(c.expecting(ctx), method, args, reply, append([]grpc.CallOption{grpc.Header(&header)}, opts...)...)
		if _, other := c.heard(header); other != nil && err == nil {
			err = other
		}
		if err == nil {
			c.saw(reply)
			return nil
		}
		if c.closed.Load() && !changes {
			return fmt.Errorf("client: %w", ErrClosed)
		}
		e := c.classify(ctx, err, changes)
		if last == nil || !isUnknown(last) || e.decided() { // an outcome that became unknown stays so
			last = e
		}
		if e.Reason != apiv1.ReasonUnreachable {
			away = time.Time{}
		} else if away.IsZero() {
			away = time.Now()
		}
		if !e.again(safe, changes) || ctx.Err() != nil || c.gaveUp(away) || c.closed.Load() {
			return last
		}
		if safe && isUnknown(e) {
			req.GetRetry().Again = true
		}
		select {
		case <-time.After(max(wait.NextBackOff(), min(e.RetryAfter, 200*time.Millisecond))):
		case <-ctx.Done():
			return last
		}
	}
}

// gaveUp says whether no server could be reached for too long.
func (c *Conn) gaveUp(away time.Time) bool {
	return !away.IsZero() && c.config.GiveUpAfter > 0 && time.Since(away) >= c.config.GiveUpAfter
}

func isUnknown(e *Error) bool { return e.Reason == apiv1.ReasonOutcomeUnknown }

func (e *Error) isUnavailable() bool { return errors.Is(e, ErrUnavailable) }

// decided says whether the error says something of the attempts before it, too: the state that they were made for was
// asked.
func (e *Error) decided() bool {
	return !e.isUnavailable() && !errors.Is(e, ErrOverloaded) && !errors.Is(e, ErrClusterMismatch)
}

// again says whether a call that failed so may be made once more.
func (e *Error) again(safe, changes bool) bool {
	switch {
	case e.isUnavailable(), errors.Is(e, ErrOverloaded):
		return true
	case isUnknown(e):
		return safe && e.Metadata["forgotten"] == ""
	case errors.Is(e, ErrUnsettled):
		return !changes
	}
	return false
}

// classify gives an error its form. When no server could be reached, nothing was sent, and the error names each address.
func (c *Conn) classify(ctx context.Context, err error, changes bool) *Error {
	unreachable := status.Code(err) == codes.Unavailable && c.cc.GetState() != connectivity.Ready && !sent(err)
	var e *Error
	if r, _, _ := apiv1.ReasonOf(err); r == "" && (unreachable || ctx.Err() != nil && c.cc.GetState() != connectivity.Ready && !sent(err)) {
		return &Error{Reason: apiv1.ReasonUnreachable, Message: "no server could be reached: " + c.dials.describe(c.config.Servers), err: err}
	}
	errors.As(errorOf(err, changes), &e)
	return e
}

// sent says whether a failed call may have reached a server: gRPC says "error reading from server" and the like when a
// connection broke under it.
func sent(err error) bool {
	m := status.Convert(err).Message()
	for _, before := range []string{"connection error:", "last connection error", "name resolver error", "while waiting for new LB policy update"} {
		if strings.Contains(m, before) {
			return false
		}
	}
	return true
}

// name gives a change a request id and the index that is known before its first attempt.
func (c *Conn) name(req retried) {
	if req.GetRetry() == nil {
		field := req.ProtoReflect().Descriptor().Fields().ByName("retry")
		req.ProtoReflect().Set(field, protoreflect.ValueOfMessage((&apiv1.Retry{}).ProtoReflect()))
	}
	if r := req.GetRetry(); r.RequestId == "" {
		r.RequestId, r.KnownIndex = ulid.Make().String(), c.knownIndex()
	}
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
	s, err := c.cc.NewStream(c.expecting(ctx), d, method, append(opts, grpc.WaitForReady(false))...)
	if err != nil {
		return nil, c.classify(ctx, err, false)
	}
	return &stream{ClientStream: s, conn: c}, nil
}

// stream is a stream whose errors are those of this package.
type stream struct {
	grpc.ClientStream
	conn       *Conn
	introduced bool
}

// RecvMsg receives a message.
func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil && !s.introduced {
		s.introduced = true
		_, err = s.conn.heardOn(s.ClientStream)
	}
	if err == nil || err == io.EOF {
		return err
	}
	return s.conn.classify(s.Context(), err, false)
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
	if err := c.cc.Close(); err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}
