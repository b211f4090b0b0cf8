package api

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// CheckCluster refuses a caller that expects another cluster than this server's. A caller that says nothing is taken, and
// a server that has no cluster yet refuses nobody for that.
func (s *Server) CheckCluster(expected string) error {
	own := s.backend.Cluster()
	if own == "" || expected == "" || own == expected {
		return nil
	}
	return s.mismatch(expected)
}

func (s *Server) mismatch(expected string) error {
	own := s.backend.Cluster()
	return fail(apiv1.ReasonClusterMismatch, map[string]string{"cluster": own}, "this server is of cluster %s, and the caller expects %.80q; nothing was done", own, expected)
}

// introduce tells the caller which cluster this is, and refuses one that expects another.
func (s *Server) introduce(ctx context.Context, set func(metadata.MD) error) error {
	if own := s.backend.Cluster(); own != "" {
		_ = set(metadata.Pairs(apiv1.ClusterHeader, own)) // it fails when nobody is there to be told
	}
	for _, expected := range metadata.ValueFromIncomingContext(ctx, apiv1.ClusterHeader) {
		if err := s.CheckCluster(expected); err != nil {
			return err
		}
	}
	return nil
}

// Stream is the interceptor of streams on the public port.
func (s *Server) Stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := s.introduce(stream.Context(), stream.SetHeader); err != nil {
		return err
	}
	return handler(srv, stream)
}
