package raftnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// greet opens a connection to a server's port, and returns the reply to its greeting.
func greet(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, kind byte, fields map[string]any) map[string]any {
	t.Helper()
	conn, err := c.Network.Host("client").Dial(context.Background(), s.Host+":7421")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(greeting(1, kind, fields)); err != nil {
		t.Fatal(err)
	}
	reply, err := readReply(conn)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// tell says something; a server that ends of it may close the connection instead of replying.
func tell(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, kind byte, fields map[string]any) {
	t.Helper()
	conn, err := c.Network.Host("client").Dial(context.Background(), s.Host+":7421")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(greeting(1, kind, fields)); err != nil {
		t.Fatal(err)
	}
	if _, err := readReply(conn); err != nil && err != io.EOF {
		t.Fatal(err)
	}
}

// lateNetwork takes a second to say where it listens for servers.
type lateNetwork struct{ raftnode.Network }

func (n lateNetwork) Listen(address string) (net.Listener, error) {
	l, err := n.Network.Listen(address)
	if !strings.HasSuffix(address, ":7421") {
		return l, err
	}
	return lateListener{l}, err
}

type lateListener struct{ net.Listener }

func (l lateListener) Addr() net.Addr {
	time.Sleep(time.Second)
	return l.Listener.Addr()
}

// One that is found as soon as it listens, before it knows its own address, is a founder with its address.
func TestNode_FoundWhileItOpens_SaysWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, 0, func(config *raftnode.Config) {
			if config.Name == "s2" {
				config.Seams.Network = lateNetwork{config.Seams.Network}
			}
		})
		defer c.Close()
		c.Add("s1")
		c.Add("s2")
		c.Servers[0].Start()
		c.Servers[1].Start()
		c.Leader(nil)
		agree(t, c, 2)
		for _, s := range c.Servers {
			if list := s.Node.FounderAddresses(); slices.Contains(list, "") || len(list) != 2 {
				t.Errorf("the founders, as %s has them, are at %q", s.Name, list)
			}
		}
	})
}

func founder(name string) map[string]any {
	return map[string]any{"server": name, "incarnation": "disk-" + name, "address": name + ":7421"}
}

// What the others say while a cluster forms, said by the test. The greeting around a hello is of another moment: what it
// says of the cluster must not count.
func TestNode_Forming_TheHelloDecides(t *testing.T) {
	const cluster = "abcdefghijklmnopqrst"
	for _, tt := range []struct {
		name string
		// say is given what founders there are, s1 with its own disk.
		say     func(hello func(server, greeting string, hello map[string]any), all []any)
		cluster string // "": none yet; "formed": whatever three servers form
	}{
		{"the greeting has a cluster and the hello has none", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", cluster, map[string]any{"sees": all[:2]})
		}, ""},
		{"the hello has a cluster and the greeting has none", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", "", map[string]any{"cluster": cluster, "founders": all, "servers": map[string]any{}})
		}, cluster},
		{"both have a cluster", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", cluster, map[string]any{"cluster": cluster, "founders": all, "servers": map[string]any{}})
		}, cluster},
		{"all see all, and one has formed the cluster since", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", cluster, map[string]any{"sees": all})
			hello("s3", "", map[string]any{"sees": all})
		}, "formed"},
		{"all see all, and two have formed the cluster since", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", cluster, map[string]any{"sees": all})
			hello("s3", cluster, map[string]any{"sees": all})
		}, "formed"},
		{"one does not see all yet", func(hello func(string, string, map[string]any), all []any) {
			hello("s2", "", map[string]any{"sees": all})
			hello("s3", "", map[string]any{"sees": all[1:]})
		}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := raftnodetest.NewCluster(t, 0, func(c *raftnode.Config) { c.Expect, c.Join = 3, []string{"s2:7421", "s3:7421"} })
			defer c.Close()
			s := c.Add("s1")
			s.Start()
			hello := func(server, cluster string, hello map[string]any) {
				fields := founder(server)
				fields["cluster"], fields["hello"] = cluster, hello
				greet(t, c, s, kindHello, fields)
			}
			self := founder("s1")
			self["incarnation"] = greet(t, c, s, kindHello, map[string]any{"server": "client", "incarnation": "x", "address": "client:1"})["incarnation"]
			tt.say(hello, []any{self, founder("s2"), founder("s3")})
			time.Sleep(500 * time.Millisecond)
			got := s.Node.Cluster()
			if tt.cluster == "formed" && got == cluster || tt.cluster != "formed" && got != tt.cluster || tt.cluster != "" && got == "" {
				t.Errorf("%s: the cluster is %q, want %q", tt.name, got, tt.cluster)
			}
			if tt.cluster == "" {
				return
			}
			if names := s.Node.Founders(); !slices.Equal(names, []string{"s1", "s2", "s3"}) {
				t.Errorf("%s: the founders are %v", tt.name, names)
			}
			// A founder's group is formed of all, also when the others never come.
			if g := s.Node.Group(); g == nil || len(g.Servers()) != 3 {
				t.Errorf("%s: its group is not formed of the founders", tt.name)
			}
		})
	}
}

// Every refusal of a connection names its reason.
func TestNode_Greet_EveryRefusal(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		l := c.Leader(nil)
		agree(t, c, 3)
		out := c.Others(l)[0]
		self := greet(t, c, out, kindHello, map[string]any{"server": "client", "incarnation": "x", "address": "client:1"})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := apiv1.NewClusterClient(c.Dial("client", l)).RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: out.Name}); err != nil {
			t.Fatal(err)
		}
		late := c.Add("s4")
		config := late.Config()
		config.Join = []string{"nowhere:1"}
		waits, err := raftnode.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		defer waits.Close(ctx)
		cluster := l.Node.Cluster()
		for _, tt := range []struct {
			at     *raftnodetest.Server
			server string
			disk   any
			to     string
			of     string
			want   string
		}{
			{late, "s9", "x", "s4", cluster, "no cluster"},
			{l, "s9", "x", l.Name, "another", "other cluster"},
			{l, "s9", "x", out.Name, cluster, "other server"},
			{l, l.Name, "x", l.Name, cluster, "other disk"},
			{l, out.Name, self["incarnation"], l.Name, cluster, "removed"},
			{l, out.Name, "x", l.Name, cluster, "removed"},
		} {
			for _, kind := range []byte{kindRaft, kindPeer} {
				reply := greet(t, c, tt.at, kind, map[string]any{"cluster": tt.of, "server": tt.server, "incarnation": tt.disk, "address": "client:1", "to": tt.to})
				if r := at(reply, "refused"); at(r, "reason") != tt.want || at(r, "by") != tt.at.Name {
					t.Errorf("%s, kind %d: %v, want %q", tt.server, kind, reply, tt.want)
				}
			}
		}
	})
}

// noHellos is a network on which, when it is told so, no hello goes out.
type noHellos struct {
	raftnode.Network
	on *atomic.Bool
}

var errNoHello = errors.New("no hello goes out")

// Dial connects; a hello fails.
func (n noHellos) Dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := n.Network.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return noHelloConn{conn, n.on}, nil
}

type noHelloConn struct {
	net.Conn
	on *atomic.Bool
}

// Write lets everything pass but a hello.
func (c noHelloConn) Write(b []byte) (int, error) {
	if c.on.Load() && bytes.HasPrefix(b, []byte("BRTH")) && len(b) > 5 && b[5] == kindHello {
		return 0, errNoHello
	}
	return c.Conn.Write(b)
}

// A removed server that no hello tells so ends when its connections are refused, if not before.
func TestNode_RemovedServer_NoHellos_EndsWhenItIsRefused(t *testing.T) {
	var on atomic.Bool
	bubble(t, 3, func(c *raftnode.Config) { c.Seams.Network = noHellos{c.Seams.Network, &on} }, func(t *testing.T, c *raftnodetest.Cluster) {
		l := c.Leader(nil)
		agree(t, c, 3)
		out := c.Others(l)[0]
		out.Kill()
		on.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := apiv1.NewClusterClient(c.Dial("client", l)).RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: out.Name}); err != nil {
			t.Fatal(err)
		}
		out.Start()
		refusal(t, out, raftnode.ErrRemoved, "under a new --name")
		if err := out.Node.Wait(); !strings.Contains(fmt.Sprint(err), "says s") {
			t.Errorf("it does not say who told it: %v", err)
		}
		out.Stop()
		agree(t, c, 2)
	})
}

// A running server to which nobody replicates any more hears of its removal by a hello of its own cluster.
func TestNode_RemovedServer_HelloSaysSo(t *testing.T) {
	bubble(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		s := c.Leader(nil)
		hello := func(cluster string) {
			fields := founder("s9")
			fields["cluster"], fields["hello"] = cluster, map[string]any{"cluster": cluster, "removed": []string{"s8", s.Name}}
			tell(t, c, s, kindHello, fields)
		}
		hello("another")
		time.Sleep(time.Minute)
		select {
		case <-s.Node.Done():
			t.Fatalf("another cluster's removal ended it: %v", s.Node.Wait())
		default:
		}
		hello(s.Node.Cluster())
		refusal(t, s, raftnode.ErrRemoved, "under a new --name")
	})
}
