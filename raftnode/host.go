package raftnode

import (
	"errors"
	"fmt"
	"net"

	"github.com/seed13d31b7f/berth/raftnode/internal/port"
)

// The methods of port.Host.

// Self is what the server says of itself when it greets another.
func (n *Node) Self() port.Greeting {
	id := n.identity()
	return port.Greeting{Cluster: id.Cluster, Server: n.config.Name, Incarnation: id.Incarnation, Address: n.raftAddress}
}

// Greet answers the greeting of a server that connects.
func (n *Node) Greet(kind port.Kind, from *port.Greeting) port.Greeting {
	reply := n.Self()
	if kind == port.KindHello {
		n.see(from)
		reply.Hello = n.hello()
		return reply
	}
	refuse := func(r port.Reason, format string, args ...any) port.Greeting {
		reply.Refused = &port.RefusedError{By: n.config.Name, Reason: r, Detail: fmt.Sprintf(format, args...)}
		return reply
	}
	switch {
	case reply.Cluster == "":
		return refuse(port.ReasonNoCluster, "%s waits for a cluster", n.config.Name)
	case from.Cluster != reply.Cluster:
		return refuse(port.ReasonOtherCluster, "%s is of cluster %s, %s of %s", n.config.Name, reply.Cluster, from.Server, from.Cluster)
	case from.To != n.config.Name:
		return refuse(port.ReasonOtherServer, "this is %s", n.config.Name)
	}
	disk, known, removed := n.knows(from.Server)
	switch {
	case removed:
		return refuse(port.ReasonRemoved, "%s was removed from the cluster", from.Server)
	case known && disk != from.Incarnation:
		return refuse(port.ReasonOtherDisk, "%s is known with another disk", from.Server)
	}
	// One that is not known may be new, or this server is: it has nobody's registration before it has the log.
	n.see(from)
	return reply
}

// knows returns the disk that a server's name stands for.
func (n *Node) knows(server string) (disk string, known, removed bool) {
	if g := n.group(); g != nil {
		if s, ok := g.View().Server(server); ok {
			return s.Incarnation, true, s.Removed
		}
	}
	for _, f := range n.identity().Founders {
		if f.Server == server {
			return f.Incarnation, true, false
		}
	}
	return "", false, false
}

// Resolve returns where a server's port is: where it was last seen, or else where it registered.
func (n *Node) Resolve(server string) (string, error) {
	n.mu.Lock()
	address := n.mu.book[server]
	founders := n.mu.identity.Founders
	n.mu.Unlock()
	if address != "" {
		return address, nil
	}
	if g := n.group(); g != nil {
		if s, ok := g.View().Server(server); ok && s.RaftAddress != "" {
			return s.RaftAddress, nil
		}
	}
	for _, f := range founders {
		if f.Server == server {
			return f.Address, nil
		}
	}
	return "", fmt.Errorf("server %s has not been found yet", server)
}

// Refused ends the server when its cluster says that it is no part of it any more.
func (n *Node) Refused(err *port.RefusedError) {
	switch err.Reason {
	case port.ReasonRemoved:
		n.stop(n.removed(err.By))
	case port.ReasonOtherDisk:
		n.stop(n.otherDisk(err.By))
	}
}

// Garbage notes that something connected which is no server.
func (n *Node) Garbage(from net.Addr, err error) {
	n.metrics.garbage.Inc()
	if errors.Is(err, port.ErrNotBerth) {
		n.config.Logger.Warn("something that is no server connected to the Raft port", "from", from, "error", err)
	}
}
