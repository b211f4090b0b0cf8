package api

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/oklog/ulid/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// forwardedHeader carries the name of the server that passed a call on.
const forwardedHeader = "berth-forwarded-by"

// leaderOnly are the calls that only the leader answers, and whether they change something.
var leaderOnly = map[string]bool{
	apiv1.Placements_Place_FullMethodName:           true,
	apiv1.Placements_BatchPlace_FullMethodName:      true,
	apiv1.Placements_Remove_FullMethodName:          true,
	apiv1.Placements_Move_FullMethodName:            true,
	apiv1.Members_DrainMember_FullMethodName:        true,
	apiv1.Members_ExpireMember_FullMethodName:       false, // it may be asked for twice
	apiv1.Blocks_Block_FullMethodName:               true,
	apiv1.Blocks_Unblock_FullMethodName:             true,
	apiv1.Members_ListMembers_FullMethodName:        false,
	apiv1.Kinds_SetKind_FullMethodName:              true,
	apiv1.Sessions_OpenSession_FullMethodName:       true,
	apiv1.Sessions_KeepSession_FullMethodName:       false,
	apiv1.Sessions_CloseSession_FullMethodName:      true,
	apiv1.Sessions_ListSessions_FullMethodName:      false,
	apiv1.Locks_AcquireLock_FullMethodName:          true,
	apiv1.Locks_RenewLock_FullMethodName:            false,
	apiv1.Locks_ReleaseLock_FullMethodName:          true,
	apiv1.Locks_BreakLock_FullMethodName:            true,
	apiv1.Locks_GetLock_FullMethodName:              false,
	apiv1.Locks_ListLocks_FullMethodName:            false,
	apiv1.Cluster_Status_FullMethodName:             false,
	apiv1.Cluster_RemoveServer_FullMethodName:       true,
	apiv1.Cluster_TransferLeadership_FullMethodName: true,
}

type forwardedKey struct{}

// forwardedBy is the server that passed a call on. Clients cannot claim to be one: the header counts on the port between
// servers alone.
func forwardedBy(ctx context.Context) string {
	name, _ := ctx.Value(forwardedKey{}).(string)
	return name
}

// retried is a request whose change may be asked for again.
type retried interface {
	proto.Message
	GetRetry() *apiv1.Retry
}

// Unary is the interceptor of the public port: it refuses callers of another cluster, bounds each call, and finds the
// leader for those that need it.
func (s *Server) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := s.introduce(ctx, func(md metadata.MD) error { return grpc.SetHeader(ctx, md) }); err != nil {
		return nil, err
	}
	ctx, cancel := budget(ctx, budgetMargin)
	defer cancel()
	changes, ok := leaderOnly[info.FullMethod]
	if !ok {
		resp, err := handler(ctx, req)
		return resp, asStatus(err)
	}
	c := &leaderCall{server: s, method: info.FullMethod, req: req, handler: handler, changes: changes}
	return c.run(ctx)
}

// UnaryPeer is the interceptor of the port between servers: what was forwarded is not forwarded again.
func (s *Server) UnaryPeer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if v := md.Get(forwardedHeader); len(v) > 0 {
			ctx = context.WithValue(ctx, forwardedKey{}, v[0])
		}
	}
	ctx, cancel := budget(ctx, answerMargin)
	defer cancel()
	resp, err := handler(ctx, req)
	return resp, asStatus(err)
}

// budget bounds a call by its caller's deadline, less the margin, and by our own.
func budget(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	d := budgetDefault
	if at, ok := ctx.Deadline(); ok {
		ctx = context.WithValue(ctx, answerKey{}, at)
		d = min(budgetMax, time.Until(at))
		d -= min(margin, d/4)
	}
	return context.WithTimeout(ctx, d)
}

type answerKey struct{}

// afterwards is the context for what a call still finds out when its budget is over: it ends when the answer has to leave.
func afterwards(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if at, ok := ctx.Value(answerKey{}).(time.Time); ok {
		left := time.Until(at)
		most = min(most, left-min(answerMargin, left/4))
	}
	return context.WithTimeout(context.WithoutCancel(ctx), most)
}

// leaderCall is one call on its way to the leader.
type leaderCall struct {
	server  *Server
	method  string
	req     any
	handler grpc.UnaryHandler
	changes bool
}

// run tries until the call has an answer that trying again would not better.
func (c *leaderCall) run(ctx context.Context) (any, error) {
	c.name()
	return c.persist(ctx, c.try)
}

func (c *leaderCall) persist(ctx context.Context, try func(context.Context) (any, error)) (any, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 100*time.Millisecond
	var last error
	for {
		resp, err := try(ctx)
		if err == nil {
			return resp, nil
		}
		r, data, _ := apiv1.ReasonOf(err)
		again := r == apiv1.ReasonNoLeader || r == apiv1.ReasonOutcomeUnknown && c.safe() && data["forgotten"] == ""
		if last == nil || again && r != apiv1.ReasonNoLeader {
			last = err
		}
		if !again {
			return nil, c.final(last, err)
		}
		if r == apiv1.ReasonOutcomeUnknown {
			c.markAgain()
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
			return nil, c.giveUp(ctx, last)
		}
	}
}

// final is the error when the last attempt is not to be followed by another. That it did nothing says nothing of those
// before it, unless it was decided by the state, which knows the request by its name.
func (c *leaderCall) final(last, err error) error {
	if r, _, _ := apiv1.ReasonOf(last); r != apiv1.ReasonOutcomeUnknown {
		return err
	}
	switch r, _, _ := apiv1.ReasonOf(err); r {
	case apiv1.ReasonOverloaded, apiv1.ReasonInternal, "":
		return last
	}
	return err
}

// giveUp is the error when the deadline comes first. An outcome that became unknown stays so.
func (c *leaderCall) giveUp(ctx context.Context, last error) error {
	if r, _, _ := apiv1.ReasonOf(last); r != apiv1.ReasonNoLeader {
		return last
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return asStatus(context.Canceled)
	}
	return c.server.noLeader(ctx, errors.New(status.Convert(last).Message()))
}

// try makes one attempt, here or at the leader.
func (c *leaderCall) try(ctx context.Context) (any, error) {
	g, err := c.server.group()
	if err != nil {
		return nil, err
	}
	if c.server.backend.Driver() != nil {
		resp, err := c.handler(ctx, c.req)
		return resp, asStatus(err)
	}
	name, _ := g.Leader()
	if name == "" || name == c.server.backend.Self().Name {
		return nil, outcomeError(group.ErrNotLeader)
	}
	conn, err := c.server.backend.Peer(name)
	if err != nil {
		return nil, fail(apiv1.ReasonNoLeader, nil, "the leader %s cannot be reached: %v", name, err)
	}
	ctx, cancel := g.WhileLeads(ctx, name)
	defer cancel()
	resp, err := c.server.passOn(ctx, name, conn, c.method, c.req)
	if err != nil {
		return nil, c.forwardError(name, err)
	}
	return resp, nil
}

// passOn makes a call at another server, as this one.
func (s *Server) passOn(ctx context.Context, to string, conn grpc.ClientConnInterface, method string, req any) (proto.Message, error) {
	resp, err := newResponse(method)
	if err != nil {
		return nil, err
	}
	ctx, span := s.span(ctx, "forward")
	err = conn.Invoke(metadata.AppendToOutgoingContext(ctx, forwardedHeader, s.backend.Self().Name), method, req, resp)
	end(span, err, spanTo.String(to))
	return resp, err
}

// forwardError gives an error that did not come from the leader, but from the way there, its meaning.
func (c *leaderCall) forwardError(leader string, err error) error {
	if r, _, _ := apiv1.ReasonOf(err); r != "" {
		return err
	}
	if status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded || status.Code(err) == codes.Canceled {
		if c.changes {
			return fail(apiv1.ReasonOutcomeUnknown, nil, "the leader %s did not answer: %s", leader, status.Convert(err).Message())
		}
		return fail(apiv1.ReasonNoLeader, nil, "the leader %s did not answer: %s", leader, status.Convert(err).Message())
	}
	return err
}

// newResponse makes the response message of a method.
func newResponse(method string) (proto.Message, error) {
	name := protoreflect.FullName("")
	for i, c := range method[1:] {
		if c == '/' {
			name = protoreflect.FullName(method[1:1+i] + "." + method[2+i:])
		}
	}
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.(protoreflect.MethodDescriptor).Output().FullName())
	if err != nil {
		return nil, err
	}
	return t.New().Interface(), nil
}

// name gives a change that may be retried a request id, and the index that is known before its first attempt.
func (c *leaderCall) name() {
	r, ok := c.req.(retried)
	if !ok {
		return
	}
	if r.GetRetry() == nil {
		field := r.ProtoReflect().Descriptor().Fields().ByName("retry")
		r.ProtoReflect().Set(field, protoreflect.ValueOfMessage((&apiv1.Retry{}).ProtoReflect()))
	}
	retry := r.GetRetry()
	if retry.RequestId == "" {
		retry.RequestId = ulid.Make().String()
	}
	if g := c.server.backend.Group(); g != nil && !retry.Again {
		retry.KnownIndex = max(retry.KnownIndex, g.View().Index)
	}
}

// safe says whether the call can be made again after an unknown outcome.
func (c *leaderCall) safe() bool {
	_, ok := c.req.(retried)
	return ok || !c.changes
}

func (c *leaderCall) markAgain() {
	if r, ok := c.req.(retried); ok {
		r.GetRetry().Again = true
	}
}
