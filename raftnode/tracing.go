package raftnode

import (
	"context"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/api"
)

// scope is the name under which a server makes spans.
const scope = "github.com/seed13d31b7f/berth/raftnode"

// tracing makes the spans of a server. The zero value makes none, and puts nothing in the way of a call.
type tracing struct {
	provider trace.TracerProvider
	tracer   trace.Tracer
}

func newTracing(p trace.TracerProvider) tracing {
	if p == nil {
		return tracing{}
	}
	return tracing{provider: p, tracer: p.Tracer(scope)}
}

// options are those of both handlers. Calls between servers that are not of the API are nobody's, and streams have no end: they
// have no spans.
func (t tracing) options() []otelgrpc.Option {
	return []otelgrpc.Option{
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool { return apiv1.Traced(i.FullMethodName) }),
	}
}

// server are the options of a gRPC server with these interceptors.
func (t tracing) server(unary ...grpc.UnaryServerInterceptor) []grpc.ServerOption {
	if t.tracer == nil {
		return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...)}
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(t.options()...)), grpc.ChainUnaryInterceptor(api.Describe), grpc.ChainUnaryInterceptor(unary...)}
}

// peer are the options of a connection to another server.
func (t tracing) peer() []grpc.DialOption {
	if t.tracer == nil {
		return nil
	}
	return []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(t.options()...))}
}

// gateway are the options of the JSON gateway: the call that it makes is of the trace that the request names.
func (t tracing) gateway() []runtime.ServeMuxOption {
	if t.tracer == nil {
		return nil
	}
	return []runtime.ServeMuxOption{runtime.WithMetadata(func(_ context.Context, r *http.Request) metadata.MD {
		md := metadata.MD{}
		for _, name := range (propagation.TraceContext{}).Fields() {
			if v := r.Header.Get(name); v != "" {
				md.Set(name, v)
			}
		}
		return md
	})}
}
