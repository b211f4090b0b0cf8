package lookupclient_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// A member and a client that live through a restore at the same addresses: the member stops everything as soon as a
// server of the new cluster answers, and stays out; the client's calls are refused. Started anew, both are at home. A
// member that nobody in the new cluster knows, and that is cut off, is not overtaken: the world notes two who act at once.
func TestRestore_MemberAndClientLiveThroughIt(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		a, c := w.member("a", nil), w.client("client")
		before, err := c.PlaceAll(ctx, carts(20))
		if err != nil {
			t.Fatal(err)
		}
		file := w.c.Save()
		b := w.member("b", nil) // the file does not know it, nor what it owns
		later, err := c.PlaceAll(ctx, carts(60)[20:])
		if err != nil {
			t.Fatal(err)
		}
		highest, onB := before[0].Placement.Epoch, 0
		for _, r := range append(before, later...) {
			highest = max(highest, r.Placement.Epoch)
			if r.Placement.Member == "b" {
				onB++
			}
		}
		if onB == 0 {
			t.Fatal("b owns nothing")
		}
		cluster := c.Conn().Cluster()
		if cluster != file.Cluster.ID {
			t.Errorf("the client is of cluster %s, the file of %s", cluster, file.Cluster.ID)
		}

		w.isolate("b", true)
		w.c.Restore(file)
		begin := time.Now()
		<-a.Done()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the member ended %v after the new servers were there", took)
		}
		if err := a.Err(); !errors.Is(err, lookupclient.ErrClusterMismatch) {
			t.Errorf("the member ended for %v", err)
		}
		w.mu.Lock()
		for id, name := range w.owner {
			if name == "a" {
				t.Errorf("a, which has ended, acts on %v", id)
			}
		}
		w.mu.Unlock()

		// New ones, while b may still act.
		fresh := w.client("fresh")
		go func() { // as eagerly as can be: what b owns must not be given away
			_, _ = fresh.PlaceAll(ctx, carts(60))
		}()
		again := w.member("a2", nil)
		defer again.Close()
		for i := range 60 {
			for {
				p, _, err := fresh.Place(ctx, cart(i))
				if err == nil && p.Epoch > highest {
					break
				}
				if err != nil && !errors.Is(err, lookupclient.ErrUnsettled) && !errors.Is(err, lookupclient.ErrNoMember) && !errors.Is(err, lookupclient.ErrUnavailable) {
					t.Fatalf("place %d: %v", i, err)
				}
				if err == nil && (i >= 20 || p.Epoch != before[i].Placement.Epoch) {
					t.Fatalf("%d is placed under epoch %#x, the old cluster had made %#x", i, p.Epoch, highest)
				}
				time.Sleep(50 * time.Millisecond) // the former a's lease is not over yet
			}
		}
		if got := fresh.Conn().Cluster(); got == cluster || got == "" {
			t.Errorf("the new client is of cluster %q", got)
		}

		// The old client is told, whatever it asks, and nothing is done.
		_, lookupErr := c.Lookup(ctx, cart(1))
		_, _, placeErr := c.Place(ctx, cart(100))
		_, statusErr := apiv1.NewClusterClient(c.Conn()).Status(ctx, &apiv1.StatusRequest{})
		stream, saveErr := apiv1.NewSnapshotsClient(c.Conn()).Save(ctx, &apiv1.SaveRequest{})
		if saveErr == nil {
			_, saveErr = stream.Recv()
		}
		for _, err := range []error{lookupErr, placeErr, statusErr, saveErr, c.Remove(ctx, cart(1), 0, nil)} {
			if !errors.Is(err, lookupclient.ErrClusterMismatch) {
				t.Errorf("the old client: %v, want ErrClusterMismatch", err)
			}
		}
		if _, err := fresh.Lookup(ctx, cart(100)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("what the old client wanted: %v", err)
		}
		// Nor does a member join by it: the program has to begin anew.
		_, err = c.Join(ctx, lookupclient.MemberConfig{Name: "c", Address: "c:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow})
		if !errors.Is(err, lookupclient.ErrClusterMismatch) {
			t.Errorf("join by the old client: %v", err)
		}
		// b was cut off all the time: it lost its lease long ago, and is told when it is back.
		w.isolate("b", false)
		<-b.Done()
		if err := b.Err(); !errors.Is(err, lookupclient.ErrClusterMismatch) {
			t.Errorf("b ended for %v", err)
		}
	})
}

func TestClient_Cluster_IsExpected(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		h := w.c.Network.Host("client")
		for cluster, want := range map[string]error{"": lookupclient.ErrNotPlaced, w.c.Leader(nil).Node.Cluster(): lookupclient.ErrNotPlaced, "another": lookupclient.ErrClusterMismatch} {
			c, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Cluster: cluster, Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) }})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Lookup(ctx, cart(1)); !errors.Is(err, want) {
				t.Errorf("expecting %q: %v, want %v", cluster, err, want)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := lookupclient.Open(lookupclient.Config{Cluster: "a b"}); err == nil {
			t.Error("a cluster's id with a space was taken")
		}
	})
}

// stranger is a server of another cluster.
type stranger struct {
	apiv1.UnimplementedMembersServer
}

// Session refuses the member.
func (stranger) Session(grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]) error {
	return apiv1.Status(apiv1.ReasonClusterMismatch, "this is another cluster", nil, 0).Err()
}

// An address that is wrong does not end a member while servers of its own cluster answer, even with no leader among them.
func TestMember_OneAddressIsAnotherClusters_GoesOn(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		l, err := w.c.Network.Host("wrong").Listen("wrong:7420")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		apiv1.RegisterMembersServer(server, stranger{})
		go func() { _ = server.Serve(l) }()
		defer server.Stop()

		h := w.c.Network.Host("a")
		c, err := lookupclient.Open(lookupclient.Config{
			Servers: []string{"wrong:7420", "s1:7420", "s2:7420", "s3:7420"}, Cluster: w.c.Leader(nil).Node.Cluster(),
			Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) },
		})
		if err != nil {
			t.Fatal(err)
		}
		w.clients = append(w.clients, c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		m, err := c.Join(ctx, lookupclient.MemberConfig{Name: "a", Address: "a:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow})
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
		inc := m.State().Incarnation
		for range 4 {
			leader := w.c.Leader(nil)
			leader.Kill()
			w.c.Leader(leader)
			time.Sleep(5 * time.Second)
			leader.Start()
			time.Sleep(5 * time.Second)
		}
		if s := m.State(); s.Incarnation != inc || s.Lost != 0 || m.Err() != nil {
			t.Errorf("the member: %+v, %v", s, m.Err())
		}
	})
}
