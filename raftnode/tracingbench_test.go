package raftnode_test

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
)

// discard is an exporter that costs nothing.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// BenchmarkTraced is look-ups of settled identities on a follower, by gRPC and one after the other: by servers without a
// provider, and where a part of the calls is sampled, or all are.
func BenchmarkTraced(b *testing.B) {
	for _, x := range []struct {
		name    string
		sampler sdktrace.Sampler
	}{{"none", nil}, {"hundredth", sdktrace.TraceIDRatioBased(0.01)}, {"all", sdktrace.AlwaysSample()}} {
		var follower *raftnode.Node
		outer := b // whose end closes the servers
		b.Run(x.name, func(b *testing.B) {
			if follower == nil {
				var leader *raftnode.Node
				leader, follower = benchCluster(outer, func(c *raftnode.Config) {
					if x.sampler != nil {
						c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(discard{}), sdktrace.WithSampler(sdktrace.ParentBased(x.sampler)))
					}
				})
				settle(outer, leader)
			}
			conn := dial(b, follower.GRPCAddr())
			defer conn.Close()
			client := apiv1.NewPlacementsClient(conn)
			b.ReportAllocs()
			load(b, 1, 1, func(n int) error {
				_, err := client.Lookup(context.Background(), &apiv1.LookupRequest{Kind: "cart", Key: benchKey(n)})
				return err
			})
		})
	}
}
