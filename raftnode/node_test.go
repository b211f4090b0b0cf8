package raftnode_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

func bubble(t *testing.T, n int, change func(*raftnode.Config), f func(*testing.T, *raftnodetest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, n, change)
		defer c.Close()
		f(t, c)
	})
}

func TestNode_ThreeServers_FormACluster(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		begin := time.Now()
		l := c.Leader(nil)
		t.Logf("leader after %v", time.Since(begin))
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, s := range c.Servers {
			resp, err := apiv1.NewClusterClient(c.Dial("client", s)).Status(ctx, &apiv1.StatusRequest{})
			if err != nil {
				t.Fatalf("%s: %v", s.Name, err)
			}
			if resp.Leader != l.Name || !resp.Healthy || len(resp.Servers) != 3 || resp.Cluster != l.Node.Cluster() {
				t.Errorf("%s: status %v", s.Name, resp)
			}
			if want := s != l; (resp.Read.ForwardedBy == s.Name) != want {
				t.Errorf("%s: forwarded by %q", s.Name, resp.Read.ForwardedBy)
			}
		}
	})
}
