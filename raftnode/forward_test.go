package raftnode_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

func TestForward_FollowerOverHTTP_SaysSo(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		for _, s := range c.Servers {
			w := memoryWeb(t, c, s)
			forwardedBy, readRole := any(nil), "LEADER"
			if s != l {
				forwardedBy, readRole = s.Name, "FOLLOWER"
			}
			key := "/v1/placements/file/by/" + s.Name
			for _, a := range []answer{
				w.call("POST", key+":place", ""),
				w.call("POST", "/v1/placements:batchPlace", `{"identities":[{"kind":"file","key":"x"}]}`),
				w.get("/v1/members"), w.get("/v1/cluster"),
				w.call("PATCH", "/v1/kinds/cart", `{"attempts":5}`),
				w.call("POST", key+":remove", ""),
			} {
				if got := at(a.ok(), "read", "forwardedBy"); got != forwardedBy {
					t.Errorf("%s at %s: forwarded by %v, want %v", a.call, s.Name, got, forwardedBy)
				}
				w.proof(a, l.Name, "LEADER", "LEADER")
				if got := a.header.Get("Berth-Served-By"); got != s.Name {
					t.Errorf("%s at %s: header says %q", a.call, s.Name, got)
				}
			}
			w.call("POST", "/v1/placements/file/x:place", "").ok()
			for _, a := range []answer{
				w.get("/v1/placements/file/x?level=LEADER"), w.get("/v1/placements"), w.get("/v1/kinds"),
				w.call("POST", "/v1/placements:batchLookup", `{"identities":[{"kind":"file","key":"x"}],"level":"LEADER"}`),
			} {
				if got := at(a.ok(), "read", "forwardedBy"); got != nil {
					t.Errorf("%s at %s: forwarded by %v, want nobody", a.call, s.Name, got)
				}
				w.proof(a, s.Name, readRole, "LEADER")
			}
			// An error of the leader arrives as it is.
			w.call("POST", "/v1/placements/cart/1:place", "").failed(400, apiv1.ReasonNoEligibleMember)
		}
	})
}

func TestForward_FollowerOverGRPC_SaysSo(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// Who claims to be a server is not believed on the public port.
		ctx = metadata.AppendToOutgoingContext(ctx, "berth-forwarded-by", "impostor")
		api := apiv1.NewPlacementsClient(c.Dial("client", f))
		placed, err := api.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"})
		if err != nil || placed.Read.ForwardedBy != f.Name || placed.Read.ServedBy != l.Name {
			t.Errorf("place: %v, %v", placed, err)
		}
		found, err := api.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "a"})
		if err != nil || found.Read.ForwardedBy != "" || found.Read.ServedBy != f.Name || found.Read.Role != apiv1.Role_FOLLOWER || found.Read.Index < placed.Read.Index {
			t.Errorf("lookup: %v, %v", found, err)
		}
		status, err := apiv1.NewClusterClient(c.Dial("client", l)).Status(ctx, &apiv1.StatusRequest{})
		if err != nil || status.Read.ForwardedBy != "" {
			t.Errorf("status by the leader: %v, %v", status.GetRead(), err)
		}
	})
}

// The machine of the leader is gone, and its connections are not closed: who waits for its answer asks the next one.
func TestForward_LeaderVanishes_TheNextOneIsAsked(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		place, look := apiv1.NewPlacementsClient(c.Dial("client", f)), apiv1.NewPlacementsClient(c.Dial("client", f))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := place.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "before"}); err != nil {
			t.Fatal(err)
		}
		l.Isolate(true)
		begin := time.Now()
		var tasks sync.WaitGroup
		tasks.Go(func() {
			if _, err := look.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "before"}); err != nil {
				t.Errorf("lookup: %v", err)
			}
			if took := time.Since(begin); took > 2500*time.Millisecond {
				t.Errorf("the lookup took %v", took)
			}
		})
		if _, err := place.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "after"}); err != nil {
			t.Errorf("place: %v", err)
		}
		if took := time.Since(begin); took > 2500*time.Millisecond {
			t.Errorf("the placement took %v", took)
		}
		tasks.Wait()
	})
}

// The pages of a list may be asked of any server: the one that keeps the list answers.
func TestForward_PagesOfAList_FromAnyServer(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		want := 40
		for i := range want {
			if _, _, err := client.Place(ctx, placement.Identity{Kind: "file", Key: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		var servers []apiv1.PlacementsClient
		for _, s := range c.Servers {
			servers = append(servers, apiv1.NewPlacementsClient(c.Dial("client", s)))
		}
		found, holder := map[string]bool{}, ""
		for page, req := 0, (&apiv1.ListRequest{PageSize: 3}); ; page++ {
			resp, err := servers[page%3].List(ctx, req)
			if err != nil {
				t.Fatalf("page %d: %v", page, err)
			}
			if page == 0 {
				holder = resp.Read.ServedBy
			}
			if by := c.Servers[page%3].Name; resp.Read.ServedBy != holder || by != holder && resp.Read.ForwardedBy != by {
				t.Errorf("page %d of %s: %v", page, by, resp.Read)
			}
			for _, p := range resp.Placements {
				if found[p.Key] {
					t.Errorf("%s is on two pages", p.Key)
				}
				found[p.Key] = true
			}
			if req.PageToken = resp.NextPageToken; req.PageToken == "" {
				break
			}
			// What is placed later is not on a later page.
			if _, _, err := client.Place(ctx, placement.Identity{Kind: "file", Key: fmt.Sprint("later", page)}); err != nil {
				t.Fatal(err)
			}
		}
		if len(found) != want {
			t.Errorf("%d placements, want %d", len(found), want)
		}

		// A list whose keeper is gone has to begin again.
		first, err := servers[0].List(ctx, &apiv1.ListRequest{PageSize: 3})
		if err != nil {
			t.Fatal(err)
		}
		c.Servers[0].Kill()
		_, err = servers[1].List(ctx, &apiv1.ListRequest{PageSize: 3, PageToken: first.NextPageToken})
		if r, _, _ := apiv1.ReasonOf(err); r != apiv1.ReasonIndexCompacted {
			t.Errorf("the keeper is gone: %v", err)
		}
	})
}

// Two servers that hold each other for the leader must not pass a call to and fro.
func TestForward_ForwardedCallAtAFollower_IsRefused(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		conn := peerConn(t, c, f)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ctx = metadata.AppendToOutgoingContext(ctx, "berth-forwarded-by", l.Name)
		begin := time.Now()
		_, place := apiv1.NewPlacementsClient(conn).Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"})
		_, batch := apiv1.NewPlacementsClient(conn).BatchPlace(ctx, &apiv1.BatchPlaceRequest{Identities: []*apiv1.Identity{{Kind: "file", Key: "a"}}})
		_, remove := apiv1.NewPlacementsClient(conn).Remove(ctx, &apiv1.RemoveRequest{Kind: "file", Key: "a"})
		_, members := apiv1.NewMembersClient(conn).ListMembers(ctx, &apiv1.ListMembersRequest{})
		_, status := apiv1.NewClusterClient(conn).Status(ctx, &apiv1.StatusRequest{})
		_, out := apiv1.NewClusterClient(conn).RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: l.Name})
		_, transfer := apiv1.NewClusterClient(conn).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{})
		for name, err := range map[string]error{"place": place, "batch": batch, "remove": remove, "members": members, "status": status, "remove server": out, "transfer": transfer} {
			if r, _, retry := apiv1.ReasonOf(err); r != apiv1.ReasonNoLeader || retry == 0 {
				t.Errorf("%s: %v, want NO_LEADER and when to ask again", name, err)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("refused after %v", took)
		}

		// The leader takes it, and says by whom it came.
		at := peerConn(t, c, l)
		defer at.Close()
		resp, err := apiv1.NewPlacementsClient(at).Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"})
		if err != nil || resp.Read.ForwardedBy != l.Name {
			t.Errorf("at the leader: %v, %v", resp, err)
		}
	})
}

func TestForward_OverTCP(t *testing.T) {
	s1 := tcpServer(t, "s1")
	_, _, leave := hostFiles(t, nil, nil, s1.GRPCAddr())
	defer leave()
	s2 := tcpServer(t, "s2", s1.RaftAddr())
	// A call of a server that takes part in a cluster waits until it knows the leader.
	for a := tcpWeb(t, s2).call("POST", "/v1/placements/file/a:place", ""); ; a = tcpWeb(t, s2).call("POST", "/v1/placements/file/a:place", "") {
		if a.status == 503 && strings.Contains(string(a.body), "does not belong to a cluster yet") {
			continue // each call waits for ten seconds
		}
		if at(a.ok(), "read", "forwardedBy") != "s2" || at(a.json(), "read", "servedBy") != "s1" {
			t.Errorf("place: %s", a.body)
		}
		break
	}
	resp, err := apiv1.NewPlacementsClient(dialTCP(t, s2.GRPCAddr())).Remove(context.Background(), &apiv1.RemoveRequest{Kind: "file", Key: "a"})
	if err != nil || resp.Read.ForwardedBy != "s2" || resp.Read.ServedBy != "s1" {
		t.Errorf("remove: %v, %v", resp, err)
	}
}

// The kinds of connections to a Raft port.
const (
	kindRaft  = 1
	kindPeer  = 2
	kindHello = 3
)

// greeting is the beginning of a connection to a Raft port.
func greeting(version, kind byte, fields map[string]any) []byte {
	payload, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	b := append([]byte("BRTH"), version, kind)
	return append(binary.BigEndian.AppendUint32(b, uint32(len(payload))), payload...)
}

// readReply reads the answer to a greeting.
func readReply(conn io.Reader) (map[string]any, error) {
	var h [10]byte
	if _, err := io.ReadFull(conn, h[:]); err != nil {
		return nil, err
	}
	if string(h[:4]) != "BRTH" {
		return nil, fmt.Errorf("the reply begins with %q", h)
	}
	payload := make([]byte, binary.BigEndian.Uint32(h[6:]))
	if _, err := io.ReadFull(conn, payload); err != nil {
		return nil, err
	}
	reply := map[string]any{}
	return reply, json.Unmarshal(payload, &reply)
}

// newcomer is how a server greets that the cluster does not know yet.
func newcomer(s *raftnodetest.Server) map[string]any {
	return map[string]any{"cluster": s.Node.Cluster(), "server": "newcomer", "incarnation": "x", "address": "client:1", "to": s.Name}
}

// peerConn is a gRPC connection to the port between servers.
func peerConn(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.Name, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := c.Network.Host("client").Dial(ctx, s.Host+":7421")
			if err != nil {
				return nil, err
			}
			if _, err := conn.Write(greeting(1, kindPeer, newcomer(s))); err != nil {
				return nil, err
			}
			if reply, err := readReply(conn); err != nil || reply["refused"] != nil {
				return nil, fmt.Errorf("greeting: %v, %v", reply, err)
			}
			return conn, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// A follower that was cut off answers a second after it has healed: it does not wait for what TCP sends again on the
// connection to its leader, which is later the longer the cut was.
func TestReads_FollowerHeals_AnswersWithinASecond(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		if _, _, err := client.Place(context.Background(), file("a")); err != nil {
			t.Fatal(err)
		}
		for _, outage := range []time.Duration{2 * time.Second, 5 * time.Second, 9 * time.Second, 20 * time.Second, 50 * time.Second} {
			leader := c.Leader(nil)
			follower := c.Others(leader)[0]
			api := apiv1.NewPlacementsClient(c.Dial("client", follower))
			lookup := func(patience time.Duration) error {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				_, err := api.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "a", Level: apiv1.Level_LEADER})
				return err
			}
			if err := lookup(5 * time.Second); err != nil {
				t.Fatal(err)
			}
			// Only the servers' own link is cut, so that what is measured is not the caller's connection.
			c.Network.Isolate(follower.Host, true, c.Servers[0].Host, c.Servers[1].Host, c.Servers[2].Host)
			end := time.Now().Add(outage)
			for time.Now().Before(end) {
				if err := lookup(min(time.Second, time.Until(end))); err == nil {
					t.Fatal("it answers alone")
				}
			}
			c.Network.Isolate(follower.Host, false, c.Servers[0].Host, c.Servers[1].Host, c.Servers[2].Host)
			begin := time.Now()
			if err := lookup(time.Minute); err != nil {
				t.Fatal(err)
			}
			t.Logf("outage %v: answered after %v", outage, time.Since(begin))
			if took := time.Since(begin); took > time.Second {
				t.Errorf("outage %v: answered %v after healing", outage, took)
			}
		}
	})
}
