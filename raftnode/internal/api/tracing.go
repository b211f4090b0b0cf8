package api

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

// The attributes of spans that only servers make.
const (
	spanTo   = attribute.Key("berth.to")         // the server that a call is passed on to
	spanMiss = attribute.Key("berth.lease_miss") // why a look-up was not answered under a read lease
)

// Describe is the interceptor that says on the span of a call what was asked and what was answered.
func Describe(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return handler(ctx, req)
	}
	span.SetAttributes(apiv1.RequestAttributes(req)...)
	resp, err := handler(ctx, req)
	if err != nil {
		span.SetAttributes(reasonAttribute(err))
		return resp, err
	}
	span.SetAttributes(apiv1.ResponseAttributes(resp)...)
	return resp, nil
}

func reasonAttribute(err error) attribute.KeyValue {
	if r, _, _ := apiv1.ReasonOf(err); r != "" {
		return apiv1.SpanReason.String(string(r))
	}
	return apiv1.SpanReason.String(status.Code(err).String())
}

// span begins a span below that of the context; nil when nobody traces, or records that one. end takes what it returned.
func (s *Server) span(ctx context.Context, name string) (context.Context, trace.Span) {
	if s.tracer == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, nil
	}
	return s.tracer.Start(ctx, name)
}

// end ends a span that may be nil, with an error that may be nil.
func end(span trace.Span, err error, attributes ...attribute.KeyValue) {
	if span == nil {
		return
	}
	if span.SetAttributes(attributes...); err != nil {
		span.SetAttributes(reasonAttribute(err))
		span.SetStatus(codes.Error, status.Convert(err).Message())
	}
	span.End()
}

// readView returns a view that has everything that was acknowledged before the call.
func (s *Server) readView(ctx context.Context) (*snapshot.View, error) {
	ctx, span := s.span(ctx, "read index")
	v, err := s.backend.ReadView(ctx)
	if err != nil {
		end(span, err)
		return nil, err
	}
	end(span, nil, apiv1.SpanIndex.Int64(int64(v.Index)))
	return v, nil
}

// missed counts a look-up that is not answered under a read lease, and says why on its span.
func (s *Server) missed(ctx context.Context, p Path, why string) {
	s.backend.Looked(p)
	if s.tracer != nil {
		trace.SpanFromContext(ctx).SetAttributes(spanMiss.String(why))
	}
}
