package lookupclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Pauses between the attempts of a call: the first, and the longest. A cluster that is overloaded is left alone for longer, or those
// who come again keep it so.
const (
	pauseFirst, pauseMax           = 20 * time.Millisecond, 500 * time.Millisecond
	overloadedFirst, overloadedMax = 100 * time.Millisecond, 2 * time.Second
	// askedMax bounds what is kept of a pause that a server asks for.
	askedMax = 200 * time.Millisecond
)

// pauses are the times between the attempts of a call. They grow by half, and each is drawn from a half to three halves of its length, so
// that those who failed together do not come again together.
type pauses struct{ usual, overloaded *backoff.ExponentialBackOff }

func newPauses() pauses {
	p := pauses{backoff.NewExponentialBackOff(), backoff.NewExponentialBackOff()}
	p.usual.InitialInterval, p.usual.MaxInterval = pauseFirst, pauseMax
	p.overloaded.InitialInterval, p.overloaded.MaxInterval = overloadedFirst, overloadedMax
	return p
}

// next is how long to wait after an error: as long as the server asks for, give or take a quarter, at least.
func (p pauses) next(e *Error) time.Duration {
	b := p.usual
	if errors.Is(e, ErrOverloaded) {
		b = p.overloaded
	}
	asked := min(e.RetryAfter, askedMax)
	if asked > 0 {
		asked = asked*3/4 + rand.N(asked/2+1)
	}
	return max(b.NextBackOff(), asked)
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
	x := &persistence{conn: c, method: method, req: req, safe: safe, changes: safe || changing[method], pauses: newPauses()}
	begin := time.Now()
	err := x.run(ctx, func() (metadata.MD, error) { return c.attempt(ctx, method, args, reply, opts) })
	if err == nil {
		c.saw(reply)
	}
	if h := c.config.Hooks.Call; h != nil {
		h(Call{Method: method, Attempts: x.made, Err: err, Took: time.Since(begin)})
	}
	return err
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

// persistence is a call that is made again as long as that is safe, may help, and is allowed.
type persistence struct {
	conn    *Conn
	method  string
	req     retried // when it is safe
	safe    bool    // it may be made again after an unknown outcome
	changes bool    // it changes something
	pauses  pauses

	made int
	last *Error    // what the call fails with when it is not made again
	away time.Time // since when no server could be reached
}

// run makes the call until it has an answer that making it again would not better.
func (x *persistence) run(ctx context.Context, attempt func() (metadata.MD, error)) error {
	c := x.conn
	for {
		if c.closed.Load() {
			return x.closed()
		}
		x.made++
		header, err := attempt()
		if _, other := c.heard(header); other != nil && err == nil {
			err = other
		}
		if len(header) > 0 {
			c.followed.used()
		}
		if err == nil {
			return nil
		}
		if c.closed.Load() && !x.changes {
			return errClientClosed
		}
		e := c.classify(ctx, err, x.changes)
		x.failed(ctx, e)
		if !x.again(ctx, e) {
			return x.last
		}
		if h := c.config.Hooks.Retry; h != nil {
			h(e.Reason)
		}
		if x.safe && isUnknown(e) {
			x.req.GetRetry().Again = true
		}
		select {
		case <-time.After(x.pauses.next(e)):
		case <-c.probes.ctx.Done(): // the client is closed
		case <-ctx.Done():
			return x.last
		}
	}
}

// closed is the error when the client is closed between two attempts.
func (x *persistence) closed() error {
	if x.last != nil && isUnknown(x.last) {
		return x.last
	}
	return errClientClosed
}

// failed takes in what an attempt failed with. An outcome that became unknown stays so, unless a later attempt was decided by the
// state, which knows the request by its name. What a server said stays as well when the end of the call cuts the next attempt short, for
// that one says nothing.
func (x *persistence) failed(ctx context.Context, e *Error) {
	x.conn.warnings.failed(x.method, e)
	if x.last == nil || !isUnknown(x.last) && !e.cutShort(ctx) || e.decided() {
		x.last = e
	}
	x.last.Attempts, x.last.LastReason = x.made, e.Reason
	if e.Reason != apiv1.ReasonUnreachable {
		x.away = time.Time{}
	} else if x.away.IsZero() {
		x.away = time.Now()
	}
}

// again says whether the call is made once more.
func (x *persistence) again(ctx context.Context, e *Error) bool {
	c := x.conn
	if !e.again(x.safe, x.changes) || ctx.Err() != nil || c.gaveUp(x.away) || c.closed.Load() {
		return false
	}
	return c.config.Attempts == 0 || x.made < c.config.Attempts
}

// gaveUp says whether no server could be reached for too long.
func (c *Conn) gaveUp(away time.Time) bool {
	return !away.IsZero() && c.config.GiveUpAfter > 0 && time.Since(away) >= c.config.GiveUpAfter
}

func isUnknown(e *Error) bool { return e.Reason == apiv1.ReasonOutcomeUnknown }

func (e *Error) isUnavailable() bool { return errors.Is(e, ErrUnavailable) }

// cutShort says whether the error is nothing but the end of the call, which a server had, and changed nothing.
func (e *Error) cutShort(ctx context.Context) bool {
	return ctx.Err() != nil && e.Reason == apiv1.ReasonUnreachable && status.FromContextError(ctx.Err()).Code() == status.Code(e.err) && sent(e.err)
}

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
