package raftnode_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// Every call says whose answer it is, and a caller that expects another cluster is refused before anything is done.
func TestClusterMismatch_EveryCallIsRefused(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		cluster := c.Leader(nil).Node.Cluster()
		for _, s := range c.Servers {
			conn := c.Dial("client", s)
			placements, servers := apiv1.NewPlacementsClient(conn), apiv1.NewClusterClient(conn)
			var header metadata.MD
			calls := map[string]func(context.Context) error{
				"lookup": func(ctx context.Context) error {
					_, err := placements.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "a"}, grpc.Header(&header))
					return err
				},
				"place": func(ctx context.Context) error {
					_, err := placements.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"}, grpc.Header(&header))
					return err
				},
				"status": func(ctx context.Context) error {
					_, err := servers.Status(ctx, &apiv1.StatusRequest{}, grpc.Header(&header))
					return err
				},
				"server status": func(ctx context.Context) error {
					_, err := servers.ServerStatus(ctx, &apiv1.ServerStatusRequest{}, grpc.Header(&header))
					return err
				},
				"save": func(ctx context.Context) error {
					stream, err := apiv1.NewSnapshotsClient(conn).Save(ctx, &apiv1.SaveRequest{})
					if err == nil {
						_, err = stream.Recv()
						header, _ = stream.Header()
					}
					return err
				},
				"session": func(ctx context.Context) error {
					stream, err := apiv1.NewMembersClient(conn).Session(ctx)
					if err != nil {
						return err
					}
					_ = stream.Send(&apiv1.FromMember{Message: &apiv1.FromMember_Join{Join: &apiv1.Join{
						Member: &apiv1.Member{Name: "m2", Address: "m2:1", Kinds: []string{"file"}}, Retry: &apiv1.Retry{RequestId: ""},
					}}})
					_, err = stream.Recv()
					header, _ = stream.Header()
					return err
				},
			}
			for name, call := range calls {
				for _, expected := range []string{"", cluster, "another"} {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					if expected != "" {
						ctx = metadata.AppendToOutgoingContext(ctx, apiv1.ClusterHeader, expected)
					}
					err := call(ctx)
					cancel()
					r, data, _ := apiv1.ReasonOf(err)
					if refused := r == apiv1.ReasonClusterMismatch; refused != (expected == "another") || refused && data["cluster"] != cluster {
						t.Errorf("%s at %s, expecting %q: %v, %v", name, s.Name, expected, err, data)
					}
					if got := header.Get(apiv1.ClusterHeader); len(got) != 1 || got[0] != cluster {
						t.Errorf("%s at %s, expecting %q: the answer is of %q", name, s.Name, expected, got)
					}
				}
			}

			w := memoryWeb(t, c, s)
			key := "/v1/placements/file/" + s.Name
			w.call("POST", key+":place", "", "Berth-Cluster", "another").failed(400, apiv1.ReasonClusterMismatch)
			w.get(key).failed(404, apiv1.ReasonNotPlaced) // nothing was done
			w.call("GET", "/v1/snapshot", "", "Berth-Cluster", "another").failed(400, apiv1.ReasonClusterMismatch)
			a := w.call("POST", key+":place", "", "Berth-Cluster", cluster)
			a.ok()
			if got := a.header.Get("Berth-Cluster"); got != cluster {
				t.Errorf("HTTP at %s: the answer is of %q", s.Name, got)
			}
			if a := w.call("GET", "/livez", "", "Berth-Cluster", "another"); a.status != 200 {
				t.Errorf("/livez: %d %s", a.status, a.body)
			}
		}
	})
}
