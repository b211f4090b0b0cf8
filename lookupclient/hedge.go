package lookupclient

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

const (
	hedgeAfterDefault = 50 * time.Millisecond
	// hedgeTimes the distance of the nearest server is the least that a look-up is waited for before another server is asked.
	hedgeTimes = 4
	// hedgeEvery look-ups one may be asked for twice, and hedgeBurst on top of that.
	hedgeEvery, hedgeBurst = 10, 10
)

// looking are the calls that go to a server that is near, and that another one may be asked to answer as well. They change nothing,
// and each says in itself what it may be answered from, so whoever answers keeps that promise.
var looking = map[string]bool{
	apiv1.Placements_Lookup_FullMethodName:      true,
	apiv1.Placements_BatchLookup_FullMethodName: true,
}

// hedges are the look-ups that may be asked for twice: so few that a cluster that is slow is not made slower.
type hedges struct {
	mu    sync.Mutex
	spent int // hedgeEvery for each, less one for each look-up
}

// asked counts a look-up.
func (h *hedges) asked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spent = max(0, h.spent-1)
}

// take says whether there is one left, and takes it.
func (h *hedges) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spent > (hedgeBurst-1)*hedgeEvery {
		return false
	}
	h.spent += hedgeEvery
	return true
}

// attempt makes a call once, at any server that is well, or a look-up at one that is near.
func (c *Conn) attempt(ctx context.Context, method string, args, reply any, opts []grpc.CallOption) (metadata.MD, error) {
	for _, address := range c.distances.overdue() {
		c.probe(address)
	}
	if !looking[method] {
		return c.once(ctx, &route{known: c.distances}, method, args, reply, opts)
	}
	message, ok := reply.(proto.Message)
	if !ok || c.config.HedgeAfter < 0 || !plain(opts) {
		return c.once(ctx, &route{known: c.distances, near: true}, method, args, reply, opts)
	}
	c.hedges.asked()
	// What the second answer is made of is found now: the first may be on its way into reply then.
	x := &hedge{conn: c, method: method, args: args, reply: message, kind: message.ProtoReflect().Type(), after: max(c.config.HedgeAfter, hedgeTimes*c.distances.nearest())}
	return x.run(ctx, opts)
}

// plain says that a call has no options that tell its caller something: one that is made twice could not.
func plain(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(grpc.StaticMethodCallOption); !ok {
			return false
		}
	}
	return true
}

// hedge is one attempt of a look-up, perhaps at two servers at once: at the second when the first has not answered soon. The
// first answer counts, and that is also an error which says something of the identity.
type hedge struct {
	conn   *Conn
	method string
	args   any
	reply  proto.Message // the first's answer
	kind   protoreflect.MessageType
	after  time.Duration

	first, second route
	other         struct { // the second's answer; no answer before done is closed
		header metadata.MD
		reply  proto.Message
		err    error
	}
}

func (x *hedge) run(ctx context.Context, opts []grpc.CallOption) (metadata.MD, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	x.first.known, x.first.near = x.conn.distances, true
	done := make(chan struct{})
	timer := time.AfterFunc(x.after, func() {
		defer close(done)
		if x.ask(ctx); answers(x.other.err) {
			cancel() // the first is not needed any more
		}
	})
	header, err := x.conn.once(ctx, &x.first, x.method, x.args, x.reply, opts)
	if timer.Stop() {
		return header, err
	}
	if answers(err) {
		cancel() // nor is the second
	}
	<-done
	if answers(err) || !answers(x.other.err) {
		return header, err
	}
	if x.other.err == nil {
		proto.Reset(x.reply)
		proto.Merge(x.reply, x.other.reply)
	}
	return x.other.header, x.other.err
}

// ask asks a second server, when there is one and it may be asked.
func (x *hedge) ask(ctx context.Context) {
	c := x.conn
	x.other.err = errNoOtherServer
	slow := x.first.server()
	if slow == "" || ctx.Err() != nil {
		return // it waits for a connection to any, or is over
	}
	c.distances.isLate(slow)
	if !c.hedges.take() {
		return
	}
	c.probe(slow)
	x.second.known, x.second.near, x.second.avoid = c.distances, true, slow
	x.other.reply = x.kind.New().Interface()
	x.other.header, x.other.err = c.once(ctx, &x.second, x.method, x.args, x.other.reply, nil)
	if h := c.config.Hooks.Hedge; h != nil && x.second.server() != "" {
		h()
	}
}

// answers says whether a look-up that ended so was answered: found, or refused for what is so of the identity or of the request.
func answers(err error) bool {
	if err == nil {
		return true
	}
	r, _, _ := apiv1.ReasonOf(err)
	switch r {
	case apiv1.ReasonNotPlaced, apiv1.ReasonUnsettled, apiv1.ReasonInvalidArgument:
		return true
	}
	return false
}

// errNotReady is what a call fails with that is not waited for any more.
var errNotReady = status.Error(codes.Unavailable, "the server is not ready, or silent, and another one is ready")

// mayLeave says whether a call may be ended at one server and made again at another: it may be made again, and ending it changes nothing. A
// server gives the place in a lock's queue up when a call that waits there ends, unless the place is to stay.
func mayLeave(method string, args any) bool {
	if lock, ok := args.(*apiv1.AcquireLockRequest); ok && !lock.Stay {
		return false
	}
	return !changing[method]
}

// once makes a call at one server. While it waits, from a second on, the server is asked whether it is there and ready. What may be asked for
// again is not waited for at one that is not, or does not say, when another one is.
func (c *Conn) once(ctx context.Context, r *route, method string, args, reply any, opts []grpc.CallOption) (header metadata.MD, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := time.Now()
	w := &waiter{call: ctx}
	if mayLeave(method, args) {
		w.leave = cancel
	}
	late := time.AfterFunc(probeAfter, func() { c.waits(w, r) })
	defer late.Stop()
	err = c.cc.Invoke(c.expecting(r.with(ctx)), method, args, reply, append([]grpc.CallOption{grpc.Header(&header)}, opts...)...)
	err = c.ours(r.server(), r.failed(err))
	if reason, _, _ := apiv1.ReasonOf(err); reason == "" && err != nil { // it is not the server's
		if at := r.server(); w.left.Load() {
			err = errNotReady
		} else if at != "" && sent(err) && status.Code(err) == codes.DeadlineExceeded {
			err = status.Error(codes.DeadlineExceeded, at+" has not answered: "+status.Convert(err).Message())
		}
		return header, err
	}
	if !looking[method] || !answers(err) {
		c.distances.heard(r.server(), false)
		return header, err
	}
	took := time.Duration(0)
	if x, ok := reply.(*apiv1.LookupResponse); ok && err == nil && x.GetRead().GetLevel() == apiv1.Level_LEASED {
		took = max(1, time.Since(begin)) // it has asked nobody else
	}
	c.distances.answered(r.server(), took)
	return header, err
}
