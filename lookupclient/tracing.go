package lookupclient

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// scope is the name under which this package makes spans.
const scope = "github.com/seed13d31b7f/berth/lookupclient"

// tracing makes the spans of a client; nil makes none.
type tracing struct {
	tracer   trace.Tracer
	attempts stats.Handler // a span of each attempt, which it tells the server of
}

func newTracing(p trace.TracerProvider) *tracing {
	if p == nil {
		return nil
	}
	return &tracing{tracer: p.Tracer(scope), attempts: otelgrpc.NewClientHandler(
		otelgrpc.WithTracerProvider(p), otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return apiv1.Traced(i.FullMethodName) }),
	)}
}

// dialOptions has the calls of a connection traced.
func (t *tracing) dialOptions() []grpc.DialOption {
	if t == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(t.attempts)}
}

// call makes a call within a span, under which each of its attempts has one.
func (t *tracing) call(ctx context.Context, method string, request, response any, do func(context.Context) error) error {
	ctx, span := t.tracer.Start(ctx, "berth."+method[strings.LastIndexByte(method, '/')+1:], trace.WithAttributes(apiv1.RequestAttributes(request)...))
	defer span.End()
	err := do(ctx)
	if err == nil {
		span.SetAttributes(apiv1.ResponseAttributes(response)...)
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		span.SetAttributes(apiv1.SpanReason.String(string(e.Reason)))
	}
	span.SetStatus(codes.Error, err.Error())
	return err
}

// activating begins the span of an activation, from the order to the cluster's consent; nil without tracing. It is the first of its trace: the
// order does not say who asked for the placement, which has the same identity and epoch.
func (t *tracing) activating(id placement.Identity, epoch placement.Epoch) trace.Span {
	if t == nil {
		return nil
	}
	_, span := t.tracer.Start(context.Background(), "activate", trace.WithAttributes(
		apiv1.RequestAttributes(&apiv1.Held{Kind: id.Kind, Key: id.Key})[0], apiv1.EpochAttribute(uint64(epoch))))
	return span
}

// traced is a context within a span that may be nil.
func traced(ctx context.Context, span trace.Span) context.Context {
	if span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, span)
}

// endSpan ends the span of an activation's beginning, with what that failed with.
func (a *Activation) endSpan(err error) {
	if a.span == nil {
		return
	}
	if err != nil {
		a.span.SetStatus(codes.Error, err.Error())
	}
	a.span.End()
	a.span = nil
}
