package lookuptest

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// Kill ends a server as the end of its process would: connections break at once, and nobody is told. What it has on its disk
// stays. Killing one that does not run does nothing.
func (c *Cluster) Kill(server string) {
	c.t.Helper()
	if s := c.server(server); s.Node != nil {
		s.Kill()
		c.apply() // a server that is killed is cut off, and then healed
	}
}

// Restart starts a server on its disk, killed or not.
func (c *Cluster) Restart(server string) {
	c.t.Helper()
	c.Kill(server)
	c.server(server).Start()
}

// Pause makes a server, a client's host or a member as if its process were stopped, seen from everybody else: it neither hears nor
// is heard, and connections stay. What runs in it goes on, and its clock does.
func (c *Cluster) Pause(host string) {
	c.t.Helper()
	c.known(host)
	c.paused[host] = true
	c.apply()
}

// Resume ends a Pause.
func (c *Cluster) Resume(host string) {
	c.t.Helper()
	c.known(host)
	delete(c.paused, host)
	c.apply()
}

// Cut cuts the links between two hosts, both ways: servers, clients' hosts or members. Bytes on their way are not lost, but wait,
// as with TCP.
func (c *Cluster) Cut(a, b string) {
	c.t.Helper()
	c.known(a, b)
	c.cut[pair(a, b)] = true
	c.apply()
}

// CutMember cuts a member off from all servers. It ends its activations by its own clock.
func (c *Cluster) CutMember(name string) {
	c.t.Helper()
	for _, s := range c.Servers() {
		c.Cut(name, s)
	}
}

// HealMember ends CutMember.
func (c *Cluster) HealMember(name string) {
	c.t.Helper()
	c.known(name)
	for _, s := range c.Servers() {
		delete(c.cut, pair(name, s))
	}
	c.apply()
}

// Heal ends every Cut and every Pause.
func (c *Cluster) Heal() {
	clear(c.cut)
	clear(c.paused)
	c.apply()
}

// ExpireMember has the cluster end a member's incarnation, as an operator does, and waits until it has: when the member let go, or its
// lease is over. The member joins again as another one unless it is cut off.
func (c *Cluster) ExpireMember(name string) {
	c.t.Helper()
	c.known(name)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api := apiv1.NewMembersClient(c.Client().Conn())
	req := &apiv1.ExpireMemberRequest{Name: name, Wait: durationpb.New(time.Second)}
	for {
		resp, err := api.ExpireMember(ctx, req)
		if err != nil {
			c.t.Fatalf("lookuptest: expire %s: %v", name, err)
		}
		if resp.Done {
			return
		}
		req.Incarnations = resp.Incarnations
	}
}

// known ends the test when there is no such host.
func (c *Cluster) known(hosts ...string) {
	c.t.Helper()
	for _, h := range hosts {
		if !slices.Contains(c.hosts, h) {
			c.t.Fatalf("lookuptest: there is no host %q: there are %v", h, c.hosts)
		}
	}
}

// pair is the two names in order.
func pair(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// apply makes the links as they should be.
func (c *Cluster) apply() {
	for _, a := range c.hosts {
		for _, b := range c.hosts {
			if a != b {
				c.servers.Network.Cut(a, b, c.paused[a] || c.paused[b] || c.cut[pair(a, b)])
			}
		}
	}
}
