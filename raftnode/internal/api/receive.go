package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

const (
	// RequestBytesMax is the size of the largest request.
	RequestBytesMax = 4 << 20
	// ReceiveBytesMax is what gRPC lets in, so that a request that is too large is refused with a reason. What is larger
	// than this, too, gRPC cuts off itself, with the code RESOURCE_EXHAUSTED.
	ReceiveBytesMax = 2 * RequestBytesMax
)

// Codec is the codec of a gRPC server that serves the API. gRPC answers for a request that it cannot decode, before anybody
// can give a reason; so this codec decodes everything, and what is no request becomes one that is marked.
func Codec() encoding.CodecV2 { return &codec{encoding.GetCodecV2("proto")} }

type codec struct{ encoding.CodecV2 }

// Unmarshal decodes.
func (c *codec) Unmarshal(data mem.BufferSlice, message any) error {
	err := c.CodecV2.Unmarshal(data, message)
	m, ok := message.(proto.Message)
	if err == nil || !ok || m.ProtoReflect().Descriptor().ParentFile() != apiv1.File_lookupclient_apiv1_berth_proto {
		return err
	}
	proto.Reset(m)
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, markField, protowire.BytesType), err.Error()))
	return nil
}

// markField is a field that no message has: the largest number that there is. Who sends it refuses his own request.
const markField = protowire.MaxValidNumber

// mark is why a message is no request, empty when it is one.
func mark(m proto.Message) string {
	field, kind, n := protowire.ConsumeTag(m.ProtoReflect().GetUnknown())
	if n < 0 || field != markField || kind != protowire.BytesType {
		return ""
	}
	text, _ := protowire.ConsumeString(m.ProtoReflect().GetUnknown()[n:])
	return text
}

// received is the error for a message that came in: one that cannot be read breaks a rule, as one does that is too large.
func received(message any, err error) error {
	m, ok := message.(proto.Message)
	if err != nil || !ok {
		return err
	}
	if why := mark(m); why != "" {
		return fail(apiv1.ReasonInvalidArgument, nil, "the request cannot be decoded: %.200s; nothing was changed", why)
	}
	if n := proto.Size(m); n > RequestBytesMax {
		return fail(apiv1.ReasonInvalidArgument, nil, "the request has %d bytes, at most %d are allowed; nothing was changed", n, RequestBytesMax)
	}
	return nil
}

// registrar registers services whose requests are refused with a reason when they cannot be read.
type registrar struct{ grpc.ServiceRegistrar }

// RegisterService registers a service.
func (r registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	d := *desc
	d.Methods, d.Streams = append([]grpc.MethodDesc(nil), desc.Methods...), append([]grpc.StreamDesc(nil), desc.Streams...)
	for i := range d.Methods {
		handle := d.Methods[i].Handler
		d.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			return handle(srv, ctx, func(m any) error { return received(m, decode(m)) }, interceptor)
		}
	}
	for i := range d.Streams {
		handle := d.Streams[i].Handler
		d.Streams[i].Handler = func(srv any, s grpc.ServerStream) error { return handle(srv, &stream{s}) }
	}
	r.ServiceRegistrar.RegisterService(&d, impl)
}

// stream is a stream whose messages are refused with a reason when they cannot be read.
type stream struct{ grpc.ServerStream }

// RecvMsg receives a message.
func (s *stream) RecvMsg(m any) error { return received(m, s.ServerStream.RecvMsg(m)) }
